"""One worker's batches, epoch after epoch: made in Ray Data tasks, in an order that is checked, the same for any worker count.

Each worker runs a Ray Data pipeline over its own lanes (see `pipelines.stream.epoch_order`): tasks on any node of the cluster
read the row groups of a window, shuffle, and make what the batches are of; the worker moves it to its device.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import torch

from pipelines.stream.epoch_order import EpochOrder, GroupTable, Rows, StreamShape, lanes_of_worker, steps_of_part
from pipelines.stream.prefetch import Columns, EpochPipeline, EpochPipelines, Reader
from pipelines.stream.ray_data import configure_ray_data
from pipelines.stream.transfer import on_device

Item_co = TypeVar("Item_co", covariant=True)
Item = TypeVar("Item")


NUMBERS = itertools.count()  # of this process' streams


class Source(Protocol[Item_co]):
    """What a stream is of, and what becomes of it on its way: read in tasks, copied to the host, finished on the device."""

    @property
    def rows(self) -> Rows:
        """The files and their rows, of which an epoch's order is made."""

    @property
    def device(self) -> torch.device:
        """Where batches go."""

    def reader(self, order: EpochOrder, lanes: range, start_step: int) -> Reader:
        """What Ray Data tasks run: reads some lanes of an epoch, or of a part of it, from a step on."""

    def to_host(self, parts: list[Columns]) -> Any:
        """The columns of a step, in parts, in memory of this worker, which their own is not; called in the pipeline's thread."""

    def to_device(self, host: Any, order: EpochOrder, lanes: range, step: int) -> Item_co:
        """The batch as it is used, of what `to_host` made; called in the thread that uses it."""


class EpochStream(Generic[Item]):
    """The rows of one worker.

    Args:
        source: what they are.
        shape: how an epoch is cut.
        seed: of the order, and of all that is random on the way.
        rank: of this worker.
        workers: how many there are.
        beside: streams like all of theirs at a time, which share the object store.

    Raises:
        UserError: for more workers than lanes, or fewer rows than a batch has.
    """

    def __init__(
        self, source: Source[Item], shape: StreamShape, *, seed: int, rank: int = 0, workers: int = 1, beside: int = 1
    ) -> None:
        self.source, self.shape, self.seed = source, shape, seed
        self.lanes, self._name = lanes_of_worker(shape.lanes, rank, workers), f"epoch-{next(NUMBERS)}"
        self._groups, self._started = GroupTable.of(source.rows), itertools.count()
        self._mine = self.order(0)
        self.steps, self.left_out = self._mine.steps, self._mine.left_out
        self.pipelines = EpochPipelines(self._start, self.steps, steps_of_part(self._groups, shape, len(self.lanes)))
        configure_ray_data(2 * workers * beside)  # each prepares its next epoch while it uses this one

    def order(self, epoch: int) -> EpochOrder:
        """The order of an epoch."""
        return EpochOrder(self._groups, self.shape, seed=self.seed, epoch=epoch)

    def epoch(self, epoch: int, start_step: int = 0, *, last: bool = False) -> Iterator[tuple[int, Item]]:
        """Yield (step, batch) from `start_step` to the end; unless it is the `last` epoch, the next one is prepared meanwhile.

        Raises:
            UserError: for what the source refuses, for example a row that has no direction.
            RuntimeError: when a step is missing, short, or comes out of its turn.
        """
        order = self.order(epoch)
        batches = self.pipelines.epoch(epoch, start_step, last=last)
        move = partial(self.source.to_device, order=order, lanes=self.lanes)
        yield from on_device(batches, lambda step, host: move(host, step=step), self.source.device)

    def take_waited(self) -> float:
        """Seconds spent waiting for data since the last call."""
        return self.pipelines.take_waited()

    def close(self) -> None:
        """Let go of the epoch that was prepared and will not be used."""
        self.pipelines.close()

    def _start(self, epoch: int, steps: range) -> EpochPipeline[Any]:
        if self._mine.epoch != epoch or self._mine.whole:
            self._mine = self.order(epoch).part(self.lanes, range(self.steps))
        reader = self.source.reader(self._mine.part(self.lanes, steps), self.lanes, steps.start)
        rows = len(self.lanes) * (self.shape.lane_rows + self.shape.lane_labelled)
        name = f"{self._name}-{next(self._started) % 2}"  # the next one runs while this one is used
        return EpochPipeline(reader, steps, rows, self.source.to_host, name)
