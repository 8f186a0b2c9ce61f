"""Epochs over a stream, the same for every job: step after step, until all is done or the job is wished to stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar

from pipelines.jobs.stop_watch import Next, StopWatch

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Stream(Protocol[Item_co]):
    """What the steps are of."""

    @property
    def steps(self) -> int:
        """Of an epoch."""

    def epoch(self, epoch: int, start_step: int = 0, *, last: bool = False) -> Iterator[tuple[int, Item_co]]:
        """Steps of an epoch and what each is of."""


class Work(Protocol[Item]):
    """One worker's part of a job, and its place: the epoch and the step to do next."""

    @property
    def place(self) -> tuple[int, int]:
        """Epoch and step to do next."""

    @property
    def stops(self) -> StopWatch:
        """Asked after each step."""

    @property
    def stream(self) -> Stream[Item]:
        """What it works on."""

    def begin_epoch(self, epoch: int) -> None:
        """Before the first step of an epoch, also of one that is gone on with in its middle."""

    def take_step(self, epoch: int, step: int, item: Item) -> None:
        """A step, with the figures and checkpoints that are due after it."""

    def save_within(self) -> None:
        """Checkpoint in the middle of an epoch, unless the last step has one."""

    def end_epoch(self, epoch: int) -> None:
        """After the last step: figures and a checkpoint, whose place is the epoch after it."""


class Leaving(Protocol):
    """The part of a run's record that is told when a worker ends."""

    def flush(self) -> None:
        """Wait until all is kept."""

    def leave(self, step: int) -> None:
        """Note that the run stopped after a step, as it was wished."""


def work_through(work: Work[Any], end: int) -> bool:
    """Go from where the work stands up to an epoch; returns whether it came there, or saved and left as it was wished."""
    first, start = work.place
    for epoch in range(first, end):
        work.begin_epoch(epoch)
        stops = False
        for step, item in work.stream.epoch(epoch, start, last=epoch + 1 == end):
            work.take_step(epoch, step, item)
            what = work.stops.look()
            stops = what is Next.STOP
            if what is not Next.GO_ON and step + 1 < work.stream.steps:
                work.save_within()
                if stops:
                    return False
        work.end_epoch(epoch)
        if stops and epoch + 1 < end:
            return False
        start = 0
    return True


def close_record(record: Leaving, *, done: bool, step: int) -> None:
    """Close what the first worker has told: all of it is kept, and that it left before the end is noted."""
    record.flush()
    if not done:
        record.leave(step)
