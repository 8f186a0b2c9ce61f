"""One epoch's Ray Data pipeline after another: each is drained by a thread, and the next starts while the present one is used.

Starting a pipeline takes seconds; they are hidden behind the end of the epoch before it.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import pyarrow as pa
import ray.data

from pipelines.jobs.ray_cluster import READERS
from pipelines.jobs.ray_quirks.data import same_in_statistics
from pipelines.stream.cpus import free_cpus, share_of_a_cpu
from pipelines.stream.ray_data import batches_of, numbered

PATIENCE = 900.0  # seconds without a batch before a worker gives up
AHEAD_BYTES = 256 << 20  # of rows that are ready: every process that makes or takes them has them in its memory too
START_AHEAD = 10.0  # seconds before an epoch's expected end at which the next one's pipeline starts

TO_THE_END: dict[str, Any] = {"_generator_backpressure_num_objects": -1}  # of a task, whether or not its rows are taken

Columns = dict[str, np.ndarray]
Item = TypeVar("Item")


class Reader(Protocol):
    """Reads spans of an epoch in Ray Data tasks: called with a batch of span numbers, yields the rows of their steps in order.

    The columns are the source's own, apart from `step`, the number of each row's step: by it the order of batches is checked.

    Attributes:
        block_bytes: of Ray's blocks.
    """

    block_bytes: int

    @property
    def spans(self) -> Sized:
        """The spans, by number."""

    @property
    def finish(self) -> Callable[[pa.Table], Iterator[Columns]] | None:
        """What further tasks do with the rows that were read; `None` where they are ready."""

    def __call__(self, batch: Columns) -> Iterator[Any]:
        """Rows of the spans whose numbers `batch["id"]` holds."""


class EpochPipeline(Generic[Item]):
    """A Ray Data pipeline of one epoch, drained by a thread into a short queue.

    Args:
        reader: of the rows.
        steps: that it yields.
        rows: of this worker in a step.
        convert: makes an item of a step's columns, which come in parts, in the thread.
        name: in Ray's statistics.
    """

    def __init__(
        self, reader: Reader, steps: range, rows: int, convert: Callable[[list[Columns]], Item], name: str = "epoch"
    ) -> None:
        self._reader, self._steps, self._rows, self._convert, self._name = reader, steps, rows, convert, name
        self._queue: queue.Queue[tuple[int, Item] | BaseException] = queue.Queue(maxsize=2)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._drain, name="epoch-pipeline", daemon=True)
        self._thread.start()

    def next_batch(self) -> tuple[int, Item]:
        """The next step and its item; raises what stopped the pipeline, or that nothing comes."""
        try:
            item = self._queue.get(timeout=PATIENCE)
        except queue.Empty:
            raise RuntimeError(f"no data for {PATIENCE:.0f} s; are CPUs free for Data tasks?") from None
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self) -> None:
        """Let the thread end at its next batch."""
        self._stopped.set()

    def _put(self, item: tuple[int, Item] | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                return self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue

    def _drain(self) -> None:
        try:
            blocks = batches_of(same_in_statistics(_blocks(self._reader), self._name), batch_size=None, prefetch_batches=2)
            step = self._steps.start
            for parts in by_steps(blocks, self._rows):
                if self._stopped.is_set():
                    return
                _check(np.concatenate([part["step"] for part in parts]), step, self._rows)
                self._put((step, self._convert(parts)))
                step += 1
            if step != self._steps.stop:
                raise RuntimeError(f"the stream ended at step {step} of {self._steps.stop}")
        except BaseException as error:  # it is raised again in the training thread
            self._put(error)


def _blocks(reader: Reader) -> ray.data.Dataset:
    """The rows of all spans as a Ray data set, in their order.

    Ray lets a task wait in the middle for those who take its rows, with the CPU that it has: another pipeline - the one before
    it, or another worker's, for which all workers wait - might wait for that CPU for ever. So a task that reads has none, and
    one that has a share of one runs to its end.
    """
    count = len(reader.spans)
    numbers = numbered(count)
    numbers.context.target_max_block_size = reader.block_bytes
    if reader.finish is None:
        options = numbers.context.execution_options  # of this data set alone
        options.resource_limits = options.resource_limits.copy(object_store_memory=AHEAD_BYTES)
        return numbers.map_batches(reader, batch_size=None, zero_copy_batch=True, num_cpus=0, concurrency=min(free_cpus(), count))
    read = numbers.map_batches(reader, batch_size=None, zero_copy_batch=True, num_cpus=0, concurrency=min(READERS, count))
    return read.map_batches(
        reader.finish, batch_size=None, batch_format="pyarrow", zero_copy_batch=True, num_cpus=share_of_a_cpu(), **TO_THE_END
    )


def by_steps(blocks: Iterable[Columns], rows: int) -> Iterator[list[Columns]]:
    """The parts of so many rows after the others; the last may have fewer."""
    parts, missing = [], rows
    for block in blocks:
        start, count = 0, len(block["step"])
        while start < count:
            end = min(start + missing, count)
            parts.append({name: column[start:end] for name, column in block.items()})
            missing, start = missing - (end - start), end
            if not missing:
                yield parts
                parts, missing = [], rows
    if parts:
        yield parts


def _check(found: np.ndarray, step: int, rows: int) -> None:
    """Refuse a batch that is not all the rows of the step whose turn it is.

    Raises:
        RuntimeError: naming the step, and the one that came instead.
    """
    if len(found) != rows:
        raise RuntimeError(f"step {step} has {len(found)} rows instead of {rows}")
    if (strange := found[found != step]).size:
        raise RuntimeError(
            f"rows of step {strange[0]} came in the turn of step {step}: Ray Data did not keep the order of its blocks, which "
            "its option preserve_order is to do"
        )


class EpochPipelines(Generic[Item]):
    """The pipelines of a worker's epochs, one after another; a long epoch is made by several.

    Args:
        start: makes the pipeline of some steps of an epoch.
        steps: of an epoch.
        part_steps: that one pipeline makes at most.
    """

    def __init__(self, start: Callable[[int, range], EpochPipeline[Item]], steps: int, part_steps: int) -> None:
        self._start, self._steps, self._part_steps = start, steps, part_steps
        self._waited = 0.0
        self.prepared: tuple[tuple[int, int], EpochPipeline[Item]] | None = None  # and the epoch and step that it begins with

    def epoch(self, epoch: int, start_step: int, *, last: bool) -> Iterator[tuple[int, Item]]:
        """Steps and items from `start_step` to the end; unless it is the `last` epoch, the next one is prepared meanwhile."""
        began, first = time.monotonic(), start_step
        while first < self._steps:
            steps = self._part(first)
            following = (epoch, steps.stop) if steps.stop < self._steps else None if last else (epoch + 1, 0)
            pipeline = self._take(epoch, steps)
            try:
                for step in steps:
                    waiting = time.monotonic()
                    item = pipeline.next_batch()
                    self._waited += time.monotonic() - waiting
                    if following and self.prepared is None:
                        mean_step = (time.monotonic() - began) / (step + 1 - start_step)
                        if (steps.stop - step - 1) * mean_step < START_AHEAD:
                            self.prepared = (following, self._start(following[0], self._part(following[1])))
                    yield item
            finally:
                pipeline.stop()
            first = steps.stop

    def take_waited(self) -> float:
        """Seconds spent waiting for data since the last call."""
        waited, self._waited = self._waited, 0.0
        return waited

    def close(self) -> None:
        """Stop the pipeline that is prepared, if there is one."""
        prepared, self.prepared = self.prepared, None
        if prepared is not None:
            prepared[1].stop()

    def _part(self, first: int) -> range:
        """The steps that a pipeline makes which begins with one."""
        return range(first, min((first // self._part_steps + 1) * self._part_steps, self._steps))

    def _take(self, epoch: int, steps: range) -> EpochPipeline[Item]:
        if self.prepared is not None and (epoch, steps.start) == self.prepared[0]:
            pipeline, self.prepared = self.prepared[1], None
            return pipeline
        self.close()
        return self._start(epoch, steps)
