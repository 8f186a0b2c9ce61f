"""Whether this machine is quiet enough to measure on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import psutil

MOST_LOAD = 0.5  # a core
OURS = ("pytest", "quorum", "benchmarks")


def disturbance() -> str:
    """What disturbs a measurement here, in words; nothing on a quiet machine."""
    family = {psutil.Process(), *psutil.Process().parents()}
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"]
        if process not in family and words and is_ours(words):
            return f"process {process.pid} runs ({' '.join(words)[:60]})"
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    return f"the load is {load:.1f} on {cores} cores" if load > MOST_LOAD * cores else ""


def is_ours(words: Sequence[str]) -> bool:
    """Whether a command line is a run, a test, a benchmark, or Ray."""
    program = Path(words[0]).name
    if program == "raylet" or program.startswith("ray::"):
        return True
    return program.startswith("python") and any(Path(word).name.partition(".")[0] in OURS for word in words[1:4])
