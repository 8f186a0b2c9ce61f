"""What is killed: processes of a job by their role, the MLflow server that it records to, or the database under that."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from benchmarks.chaos.servers import Database, Server

AWAY_SECONDS = 4.0  # that a server is gone


def _is(*names: str) -> Callable[[list[str]], bool]:
    return lambda words: any(name in words[0] for name in names)


ROLES: dict[str, Callable[[list[str]], bool]] = {  # by the words of a process' command line
    "controller": _is("ray::TrainController"),
    "train worker": _is("ray::RayTrainWorker", "ray::ImplicitFunc", "ray::ResourceTrainable", "ray::run_trial"),
    "data worker": _is("ray::ReadRange", "ray::MapBatches"),
    "recorder": _is("ray::Recorder"),
    "raylet": lambda words: Path(words[0]).name == "raylet",
}
VICTIMS = ("driver", *ROLES, "mlflow server", "database")


def kill(victim: str, driver: psutil.Process, servers: dict[str, Server | Database]) -> int:
    """Kill a victim; returns how many processes that were: none where the job has no such process now."""
    if victim in servers:
        servers[victim].kill()
        time.sleep(AWAY_SECONDS)
        servers[victim].start()
        return 1
    if victim == "driver":
        chosen = [*driver.children(recursive=True), driver]  # with its Ray, as a machine that is switched off
    else:
        chosen = [process for process in driver.children(recursive=True) if _plays(process, victim)]
        chosen = chosen[:1] if victim == "data worker" else chosen
    for process in chosen:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    return len(chosen)


def _plays(process: psutil.Process, role: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return bool(words) and ROLES[role](words)
