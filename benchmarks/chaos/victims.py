"""What is killed: processes of a job by their role, or the MLflow server that it records to."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

AWAY_SECONDS = 4.0  # that the server is gone


def _is(*names: str) -> Callable[[list[str]], bool]:
    return lambda words: any(name in words[0] for name in names)


ROLES: dict[str, Callable[[list[str]], bool]] = {  # by the words of a process' command line
    "controller": _is("ray::TrainController"),
    "train worker": _is("ray::RayTrainWorker", "ray::ImplicitFunc", "ray::ResourceTrainable", "ray::run_trial"),
    "data worker": _is("ray::ReadRange", "ray::MapBatches"),
    "recorder": _is("ray::Recorder"),
    "raylet": lambda words: Path(words[0]).name == "raylet",
}
VICTIMS = ("driver", *ROLES, "mlflow server")


class Server:
    """A real MLflow server over a sqlite store, which can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db", "--artifacts-destination", str(self.folder)]
        quick = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=quick, start_new_session=True)
        deadline = time.monotonic() + 120
        while not self._answers():
            if time.monotonic() > deadline:
                raise SystemExit(f"the MLflow server does not answer; see {self.folder}/server.log")
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill it and all that it has started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.uri}/health", timeout=1).status == 200)
        except (urllib.error.URLError, OSError):
            return False


def kill(victim: str, driver: psutil.Process, server: Server) -> int:
    """Kill a victim; returns how many processes that were: none where the job has no such process now."""
    if victim == "mlflow server":
        server.kill()
        time.sleep(AWAY_SECONDS)
        server.start()
        return 1
    if victim == "driver":
        chosen = [*driver.children(recursive=True), driver]  # with its Ray, as a machine that is switched off
    else:
        chosen = [process for process in driver.children(recursive=True) if _plays(process, victim)]
        chosen = chosen[:1] if victim == "data worker" else chosen
    for process in chosen:
        process.kill()
    return len(chosen)


def _plays(process: psutil.Process, role: str) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return bool(words) and ROLES[role](words)
