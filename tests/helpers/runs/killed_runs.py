"""What tests do to runs: kill them, cut them back to an earlier checkpoint, and compare what they learned bit by bit."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore
from pipelines.runs.run_folder import Run


def store_of(folder: Path) -> CheckpointStore:
    return CheckpointStore(Location.of(folder / "checkpoints"))


def final_state(folder: Path, epochs: int) -> dict[str, Any]:
    """The last checkpoint of a run, which must be that of its end."""
    store = store_of(folder)
    entry = store.latest()
    assert entry is not None
    assert (entry.epoch, entry.step) == (epochs, 0)
    return store.load(entry)


def learned(state: dict[str, Any]) -> dict[str, Any]:
    """Of a training checkpoint, what a resumed run must have in common with one that was never stopped."""
    return {key: state[key] for key in ("method", "optimizer", "scaler", "epoch", "step")}


def differing(first: Any, second: Any, path: str = "") -> list[str]:
    """Names of leaves that are not bit-equal."""
    if isinstance(first, dict):
        assert first.keys() == second.keys(), path
        return [name for key in first for name in differing(first[key], second[key], f"{path}.{key}")]
    if isinstance(first, torch.Tensor):
        return [] if torch.equal(first, second) else [path]
    return [] if first == second else [path]


def cut_back(straight: Path, to: Path, global_step: int, *also_without: str) -> Path:
    """A copy of a run as one that was killed after a checkpoint left it, without files named `also_without`."""
    shutil.copytree(straight, to, ignore=shutil.ignore_patterns("ray", "pictures", *also_without))
    index = to / "checkpoints" / "index.json"
    content = json.loads(index.read_text())
    content.pop("digest", None)
    content["checkpoints"] = [entry for entry in content["checkpoints"] if entry["global_step"] <= global_step]
    index.write_text(json.dumps(content))
    return to


def wait_for_step(folder: Path, global_step: int, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until a run has a checkpoint of that step or a later one."""
    store, deadline = store_of(folder), time.monotonic() + 200
    while (entry := store.latest()) is None or entry.global_step < global_step:
        assert process is None or process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def kill_and_resume(command: list[str], start: list[str], folder: Path, global_step: int) -> None:
    """Start a run by `quorum command start`, kill it and all its processes in mid-epoch after a step, and resume it."""
    quorum = [sys.executable, "-m", "quorum", *command, "--address", "local"]
    process = subprocess.Popen([*quorum, *start])
    wait_for_step(folder, global_step, process)
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.kill()
    process.wait()
    newest = store_of(folder).latest()
    assert newest is not None
    assert newest.step != 0, "it was to be killed in the middle of an epoch"
    mlflow_run = Run.open(str(folder)).address
    resumed = subprocess.run([*quorum, "--resume", str(folder)], capture_output=True, text=True, timeout=250, check=False)
    assert resumed.returncode == 0, resumed.stderr
    assert Run.open(str(folder)).address == mlflow_run


def process_called(title: str) -> psutil.Process | None:
    """A process of this one's Ray whose title holds the words."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if any(title in word for word in process.cmdline()):
                return process
    return None


def kill_once(found: Callable[[], psutil.Process | None]) -> list[int]:
    """Kill the first process that is found, from a thread; returns a list that its number is put into."""
    killed: list[int] = []

    def look() -> None:
        deadline = time.monotonic() + 120
        while (process := found()) is None:
            if time.monotonic() > deadline:  # the test has failed by then, and the next one's process is not to be killed
                return
            time.sleep(0.05)
        process.kill()
        killed.append(process.pid)

    threading.Thread(target=look, daemon=True).start()
    return killed
