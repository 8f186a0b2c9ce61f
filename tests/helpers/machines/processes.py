"""Real processes of one gloo group. What they import is little, because each of them does."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

# Seconds for gloo to free the last tensors: its threads need the lock of Python, with which torch before 2.8 waits for them.
FREED = 0.02


def _worker(rank: int, workers: int, meeting: str, function: Callable[..., Any], args: tuple[Any, ...], results: Any) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=workers)
    try:
        results[rank] = function(*args)
    finally:
        time.sleep(FREED)
        dist.destroy_process_group()


@pytest.fixture(scope="session")
def gloo() -> Callable[..., list[Any]]:
    """Run `function(*args)` in `workers` real processes of one gloo group; returns each one's result by rank."""

    context = mp.get_context("forkserver")  # workers are copies of a process that has the imports behind it
    methods = [f"algos.methods.{name}.method" for name in ("coke", "protocon", "secu")]
    context.set_forkserver_preload([__name__, *methods])

    def run(workers: int, function: Callable[..., Any], *args: Any) -> list[Any]:
        # Workers meet in a file: a port that was free a moment ago may be another suite's by now.
        with context.Manager() as manager, tempfile.TemporaryDirectory() as folder:
            results = manager.dict()
            arguments = (workers, f"{folder}/meeting", function, args, results)
            mp.start_processes(_worker, arguments, nprocs=workers, start_method="forkserver")
            return [results[rank] for rank in range(workers)]

    return run
