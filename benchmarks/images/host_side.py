"""Quorum's input side as the benchmarks drive it: a stream of one rule of view, and its batches before the device takes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from algos.methods.method import Batch
from benchmarks.report import cpu_seconds
from pipelines.datasets.image_shards import Dataset
from pipelines.stream.epoch_order import StreamShape
from pipelines.stream.epoch_stream import EpochStream
from pipelines.stream.images.image_stream import ImageSource
from pipelines.stream.images.image_windows import WindowReader
from pipelines.views.view_config import Normalization, ViewConfig, Views


@dataclass(frozen=True)
class Rate:
    """Seconds to a side's first batch; rows a second and CPU milliseconds a row from there on."""

    first: float
    per_second: float
    cpu_ms: float


def plain_views(size: int, repeat: int) -> Views:
    """Random crops and nothing else."""
    return Views(large=[ViewConfig(size, repeat=repeat, flip=0.0)])


def open_stream(dataset: Dataset, shape: StreamShape, views: Views) -> EpochStream[Batch]:
    """The only worker's stream of the training split, to the CPU."""
    return EpochStream(ImageSource(dataset, "train", views, Normalization()), shape, seed=0)


def window_reader(stream: EpochStream[Batch], epoch: int) -> WindowReader:
    """The reader that the stream's tasks run in this epoch."""
    return stream.source.reader(stream.order(epoch), stream.lanes, 0)


def epochs(stream: EpochStream[Batch], first: int, count: int) -> Iterator[int]:
    """Rows of each batch of some epochs as training takes them: pixels as normalised floats on the device."""
    for epoch in range(first, first + count):
        for _, batch in stream.epoch(epoch, last=epoch == first + count - 1):
            yield len(batch.ids)


def host_epochs(stream: EpochStream[Batch], first: int, count: int) -> Iterator[int]:
    """Rows of each batch of some epochs as it leaves the host: uint8 crops. A GPU does what follows."""
    for epoch in range(first, first + count):
        for _, host in stream.pipelines.epoch(epoch, 0, last=epoch == first + count - 1):
            yield len(host.ids)


def units_of(reader: WindowReader) -> Iterator[pa.Table]:
    """What the tasks that decode get, of all spans."""
    for number in range(len(reader.spans)):
        yield from reader({"id": np.array([number])})


def rate(batches: Callable[[], Iterable[int]], ahead: int = 0) -> Rate:
    """Measure a run of batches, given by their rows, from the first one on.

    `ahead` batches are not counted: those that other processes had ready by the time of the first one.
    """
    began = time.perf_counter()
    sizes, first, cpu = list[int](), 0.0, 0.0
    for size in batches():
        if not sizes:
            first, cpu = time.perf_counter() - began, cpu_seconds()
        sizes.append(size)
    spent, rows = time.perf_counter() - began - first, sum(sizes[1 + ahead :])
    if rows == 0:
        raise SystemExit(f"{len(sizes)} batches are too few to time; raise --images or --epochs, or lower --batch-size")
    return Rate(first, rows / spent, 1e3 * (cpu_seconds() - cpu) / rows)
