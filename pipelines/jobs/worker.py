"""What a job asks of its workers, and what each of them is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch


@dataclass(frozen=True)
class Workers:
    """The workers of a job.

    Attributes:
        count: so many, or from the first to the second number as the cluster has room.
        cpus: of each.
        gpus: of each; 0 for none.
        max_failures: restarts from the last checkpoint; -1 for any number.
    """

    count: int | tuple[int, int]
    cpus: int = 1
    gpus: float = 0.0
    max_failures: int = 3

    @property
    def least(self) -> int:
        """Without so many it does not start."""
        return self.count if isinstance(self.count, int) else self.count[0]

    @property
    def most(self) -> int:
        """It never has more."""
        return self.count if isinstance(self.count, int) else self.count[1]


def tell_nobody(figures: Mapping[str, float]) -> None:
    """For a worker that nobody follows."""


@dataclass(frozen=True)
class Worker:
    """One worker's rank of `count`, of which `local_count` share its machine, and its device.

    `report` tells those above the figures of an epoch, on every worker equally often; the job may end there. `wished`, which one
    worker has, says whether the job is wished to stop. `beside` jobs like it run at a time. `announced`, in which all
    workers meet, tells which machines of theirs are to go soon. Workers with the same `node` share one.
    """

    rank: int
    count: int
    local_count: int
    device: torch.device
    report: Callable[[Mapping[str, float]], None] = tell_nobody
    wished: Callable[[], bool] | None = None
    beside: int = 1
    announced: Callable[[], Hashable | None] | None = None
    node: str = ""

    def claim_device(self, threads: int = 0) -> None:
        """Make the device this process's own, or take `threads` of the CPU; 0 for a fair share of the machine."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True  # shapes are fixed
        else:
            # One CPU stays free for the stream: threads that wait for a preempted one cost more than it brings.
            spare = ((os.cpu_count() or 1) - 1) // self.local_count
            torch.set_num_threads(threads or max(1, spare))


class Stops(Protocol):
    """The part of a run's record that is about its end."""

    def wished(self) -> bool:
        """Whether somebody wishes that the run stops."""

    def stop(self, reason: str) -> None:
        """Say why it must stop."""

    def stop_reason(self) -> str | None:
        """Why it must, if it must."""


class Job(Protocol):
    """What the driver hands every worker."""

    @property
    def run(self) -> str:
        """The run's folder, a path or URI."""

    @property
    def record(self) -> Stops:
        """Of the run."""


AnyJob = TypeVar("AnyJob", bound=Job)
