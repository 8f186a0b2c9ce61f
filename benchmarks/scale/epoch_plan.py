"""What a worker's process holds and sends to plan an epoch: CPU time and memory, of a made-up manifest, without images.

python -m benchmarks.scale.epoch_plan --images 1000000000 --workers 8
"""

from __future__ import annotations

import pickle
import resource
import time
from collections.abc import Callable
from typing import Any, TypeVar

import psutil
import pyarrow.fs as pafs
from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure, command, machine, new_parser, parse
from pipelines.datasets.image_shards import Dataset, Split
from pipelines.datasets.shard_files import Shard
from pipelines.files.location import Location
from pipelines.stream.epoch_order import EpochOrder, GroupTable, StreamShape, lanes_of_worker, steps_of_part
from pipelines.stream.images.image_windows import WindowReader
from pipelines.views.crops import CropSpec

GROUP_ROWS, GROUPS = 38, 32  # of a shard of ImageNet's images
IMAGE_BYTES = 110_000

Made = TypeVar("Made")


class Stages:
    """What each stage takes: seconds of a CPU, and megabytes that stay."""

    def __init__(self) -> None:
        self.table = Table(title_justify="left")
        for column in ("stage", "CPU seconds", "MB that stay", "how many"):
            self.table.add_column(column, justify="left" if column == "stage" else "right")

    def take(self, name: str, make: Callable[[], Made], count: Callable[[Made], object] = lambda made: "") -> Made:
        """Do one, and note it."""
        before, began = _held(), time.process_time()
        made = make()
        seconds, held = time.process_time() - began, _held() - before
        self.table.add_row(name, f"{seconds:.2f}", f"{held / 1e6:,.0f}", str(count(made)))
        return made


def main() -> None:
    """Plan the first part of an epoch as worker 0 does, and print what it took."""
    options = parse(new_parser(__doc__, table=False, images=1_000_000_000, workers=8, batch_size=1024, window=256))
    stages = Stages()
    shape = StreamShape(options.batch_size, max(8, options.workers), options.window)
    lanes = lanes_of_worker(shape.lanes, 0, options.workers)
    stages.table.title = f"{options.images:,} images, worker 0 of {options.workers}, {len(lanes)} lanes"
    split = stages.take(
        "the manifest's shards", lambda: made_up_split(options.images), lambda made: f"{len(made.shards):,} shards"
    )
    dataset = Dataset(Location(pafs.LocalFileSystem(), "/nowhere"), "made-up", [], {"train": split}, 0)
    peak, began = _peak(), time.process_time()
    table = stages.take(
        "its row groups, once a process", lambda: GroupTable.of(split), lambda made: f"{len(made.rows):,} row groups"
    )
    order = stages.take("a worker's lanes of an epoch", lambda: mine(table, shape, lanes), lambda made: f"{made.steps:,} steps")
    steps = range(min(steps_of_part(table, shape, len(lanes)), order.steps))
    read = stages.take(
        "a part of it, for tasks", lambda: reader(dataset, order, lanes, steps), lambda made: f"{len(made.spans)} spans"
    )
    sent = stages.take("the same as it is sent", lambda: Sent(read), lambda made: f"{made.bytes / 1e6:.1f} MB")
    seconds = time.process_time() - began
    taken = stages.take("as each task takes it", sent.take)
    stages.take("rows of a span, by each task", lambda: [taken.order.pieces(lanes[0], *window) for window in taken.spans[0]])
    console = Console(width=130, highlight=False)
    console.print(stages.table)
    console.print(f"{-(-order.steps // len(steps))} parts of {len(steps):,} steps each")
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    console.print(command(), soft_wrap=True)
    Figure("epoch_plan_memory", (_peak() - peak) / 1e6, "MB").tell()
    Figure("epoch_plan_seconds", seconds, "s").tell()
    Figure("epoch_plan_sent", sent.bytes / 1e6, "MB").tell()


class Sent:
    """What tasks are sent, as Ray sends it: arrays lie in the object store, and are not copied by those who take it."""

    def __init__(self, value: object) -> None:
        self._arrays: list[pickle.PickleBuffer] = []
        self._rest = pickle.dumps(value, protocol=5, buffer_callback=self._arrays.append)
        self.bytes = len(self._rest) + sum(array.raw().nbytes for array in self._arrays)

    def take(self) -> WindowReader:
        """The value."""
        made: WindowReader = pickle.loads(self._rest, buffers=self._arrays)
        return made


def made_up_split(images: int) -> Split:
    """Shards of so many images that nobody has."""
    rows = GROUP_ROWS * GROUPS
    shards = []
    for number, first in enumerate(range(0, images, rows)):
        path, digest = f"train/part-{number:08d}.parquet", f"{number:016x}"
        shards.append(Shard(path, rows * IMAGE_BYTES, min(rows, images - first), GROUP_ROWS, digest, layout=digest[::-1]))
    return Split(images, shards, [])


def mine(table: GroupTable, shape: StreamShape, lanes: range) -> EpochOrder:
    """The order of an epoch as far as a worker needs it."""
    order = EpochOrder(table, shape, seed=0, epoch=0)
    return order.part(lanes, range(order.steps))


def reader(dataset: Dataset, order: EpochOrder, lanes: range, steps: range) -> WindowReader:
    """What the tasks of some steps are sent."""
    return WindowReader(dataset, "train", order.part(lanes, steps), lanes, [CropSpec(224, (0.08, 1.0))] * 2, steps.start)


def _held() -> int:
    return int(psutil.Process().memory_info().rss)


def _peak() -> Any:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


if __name__ == "__main__":
    main()
