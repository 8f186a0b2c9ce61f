"""Processes of a Ray that this process has started: all of them end with it, and with a start that does not come to its end."""

from __future__ import annotations

import atexit
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from pipelines.files.this_process import lives, process

LAST_SECONDS = 5.0  # for Ray's processes to end in


@contextmanager
def none_left_unless_started() -> Iterator[None]:
    """Within the block Ray starts on this machine; where that is stopped or fails, what it has started by then ends.

    Ray ends its raylet alone, whose helpers stay for more than a minute. No issue found.
    """
    before = children_of(os.getpid())
    try:
        yield
    except BaseException:
        raylet = raylet_here()
        if raylet is not None:
            end_with_all_processes(raylet, os.getpid())
        begun = [child for child in children_of(os.getpid()) if child not in before and _is_of_ray(child)]
        for child in begun:  # so that it starts no other meanwhile
            _signal(child, signal.SIGSTOP)
        for one in [*(inner for child in begun for inner in children_of(child["pid"])), *begun]:
            _signal(one, signal.SIGKILL)
        raise


def end_with_this_process() -> None:
    """The Ray that this process has started now ends as it does, with all processes."""
    atexit.register(end_with_all_processes, raylet_here(), os.getpid())


def end_with_all_processes(raylet: int | None, owner: int) -> None:
    """End this process's Ray, and after some seconds what is still there of the processes that its raylet has started.

    In one of some dozen jobs a worker hangs for ever as it ends, waiting for its own lock, and keeps its memory. No issue found.
    """
    if os.getpid() != owner or raylet_here() != raylet:  # a fork of it, or another Ray by now
        return
    workers = [] if raylet is None else children_of(raylet)
    ray.shutdown()
    until = time.monotonic() + LAST_SECONDS
    while (left := [worker for worker in workers if lives(worker)]) and time.monotonic() < until:
        time.sleep(0.1)
    for worker in left:
        _signal(worker, signal.SIGKILL)


def raylet_here() -> int | None:
    """Process of the raylet that this process has started, if there is one now."""
    node = ray._private.worker._global_node
    started = {} if node is None else node.all_processes
    return int(started["raylet"][0].process.pid) if "raylet" in started else None


def children_of(parent: int) -> list[dict[str, Any]]:
    """What a process has started, as `lives` takes it; on Linux, elsewhere nothing is found."""
    found = []
    for task in Path("/proc").glob(f"{parent}/task/*/children"):
        with suppress(OSError):  # it has ended
            found += [process(int(child)) for child in task.read_text().split()]
    return found


def _is_of_ray(one: dict[str, Any]) -> bool:
    """Whether a process runs one of Ray's own programs: a notebook may have started others meanwhile."""
    with suppress(OSError):  # it has ended
        return f"{Path(ray.__file__).parent}/".encode() in Path(f"/proc/{one['pid']}/cmdline").read_bytes()
    return False


def _signal(one: dict[str, Any], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(one["pid"], number)
