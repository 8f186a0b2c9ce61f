"""The first half of the stream's work in Ray Data tasks: read windows of encoded images and shuffle them.

What comes out are the rows of a worker, step after step, in blocks of a size that one task decodes in a fraction of a second.
Kept free of torch, whose import would cost every task process seconds and memory.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import ray

from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.shard_files import Shard, read_group
from pipelines.stream.epoch_order import EpochOrder
from pipelines.stream.images.crop_maker import CropMaker, draws_column
from pipelines.stream.images.encoded_maker import EncodedMaker
from pipelines.stream.row_groups import LanePieces, Span, SpanGroups
from pipelines.views.crops import ATTEMPTS, CropSpec
from pipelines.views.shown_picture import Showing

COLUMNS = ("id", "image")
Maker = CropMaker | EncodedMaker
MakerOf = Callable[[Sequence[CropSpec], Showing, float, bool], Maker]


@dataclass(frozen=True)
class LaneRows:
    """Rows of one lane in step order.

    Attributes:
        columns: `step`, `id`, `label` (-1 where training has none), `crops` (how many of the views each gets), and `draws` of
            the crops.
        images: encoded.
    """

    columns: dict[str, np.ndarray]
    images: list[bytes]

    def __len__(self) -> int:
        """How many they are."""
        return len(self.images)

    def part(self, rows: slice) -> LaneRows:
        """Some of the rows."""
        return LaneRows({name: column[rows] for name, column in self.columns.items()}, self.images[rows])


def table_of(parts: Sequence[LaneRows]) -> pa.Table:
    """The rows of some parts as a table of one chunk, which Ray passes on as it is."""
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    images = pa.array([image for part in parts for image in part.images], pa.binary())
    return pa.table(columns | {"draws": draws_column(columns["draws"]), "image": images})


class PackedShards:
    """Shards by number, each as bytes: a process that is sent very many makes of them those that it asks for.

    Args:
        shards: all of a split.
        numbers: of those that are kept, ascending.
    """

    def __init__(self, shards: Sequence[Shard], numbers: np.ndarray) -> None:
        packed = [pickle.dumps(shards[number]) for number in numbers.tolist()]
        self._numbers, self._ends = numbers, np.cumsum([0, *map(len, packed)])
        self._content = np.frombuffer(b"".join(packed), np.uint8)  # which all processes of a node have in common

    def __getitem__(self, number: int) -> Shard:
        """One of those that are kept."""
        place = int(np.searchsorted(self._numbers, number))
        shard: Shard = pickle.loads(self._content[self._ends[place] : self._ends[place + 1]].tobytes())
        return shard


class WindowReader:
    """Reads and shuffles the windows of some lanes.

    Called with a batch of span numbers, yields tables `step`, `id`, `label`, `crops`, `draws`, `image`; `finish` makes of them
    what batches are of, unless it is `None`: then they are of that already. In each step the stream's rows come first, without
    their labels; then its labelled rows, which have the first view only.

    Args:
        dataset: the shards.
        split: of them.
        order: of the epoch.
        lanes: of this worker.
        crops: of each image.
        start_step: 0-based.
        labelled: table (id, image, label) that all nodes share, of the labelled rows that come with each batch.
        showing: how images are shown.
        maker: makes a batch's columns of the rows that are read.
    """

    def __init__(
        self, dataset: Dataset, split: str, order: EpochOrder, lanes: range, crops: Sequence[CropSpec], start_step: int,
        labelled: ray.ObjectRef | None = None, showing: Showing | None = None, maker: MakerOf = CropMaker,
    ) -> None:  # fmt: skip
        shards = dataset.split(split).shards
        self.location, self.shards = dataset.location, PackedShards(shards, order.files)
        self.order, self.lanes, self.start_step, self.labelled = order, lanes, start_step, labelled
        row_bytes = max(shard.image_bytes / max(shard.rows, 1) for shard in shards)
        self.groups: SpanGroups[pa.Table] = SpanGroups(order, lanes, row_bytes)
        self.spans = self.groups.spans(start_step)
        self.maker = maker(crops, showing or Showing(), row_bytes, dataset.split(split).is_checked)
        self.finish = self.maker if self.maker.apart else None
        self.block_bytes = self.maker.block_bytes

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[pa.Table | dict[str, np.ndarray]]:
        """The rows of the windows of the spans whose numbers `batch["id"]` holds, in units that one task decodes."""
        for number in batch["id"].tolist():
            for unit in _units(self._steps(self.spans[number]), self.maker.unit_rows):
                if self.maker.apart:
                    yield unit
                else:
                    yield from self.maker(unit)

    def _steps(self, span: Span) -> Iterator[LaneRows]:
        """The rows of one lane of one step after another."""
        shape = self.order.shape
        for window, steps, pieces in self.groups.windows(span, self._read_group):
            lanes = [self._read(lane, window, steps, pieces) for lane in self.lanes]
            few = [self._read_labelled(lane, window, steps) for lane in self.lanes] if self.labelled is not None else []
            for index, step in enumerate(steps):
                if step >= self.start_step:
                    yield from (lane.part(_nth(index, shape.lane_rows)) for lane in lanes)
                    yield from (lane.part(_nth(index, shape.lane_labelled)) for lane in few)

    def _read_group(self, shard: int, group: int) -> pa.Table:
        return read_group(self.location, self.shards[shard], group, COLUMNS)

    def _read(self, lane: int, window: int, steps: range, pieces: LanePieces[pa.Table]) -> LaneRows:
        """One lane's rows of a window; their labels stay in the shards."""
        rows = len(steps) * self.order.shape.lane_rows
        ids, images = np.empty(rows, np.int64), [b""] * rows
        for piece, group in pieces(lane):
            table = group.take(pa.array(piece.rows))
            ids[piece.places] = table["id"].to_numpy()
            for place, image in zip(piece.places.tolist(), table["image"].to_pylist(), strict=True):
                images[place] = image
        columns = {"id": ids, "label": np.full(rows, -1), "crops": np.full(rows, len(self.maker.crops), np.int32)}
        return LaneRows(columns | self._drawn(lane, window, steps, rows, use=1), images)

    def _read_labelled(self, lane: int, window: int, steps: range) -> LaneRows:
        """One lane's labelled rows of a window, from the table that all nodes share."""
        table = ray.get(self.labelled)
        chosen = np.concatenate([self.order.labelled_rows(lane, step, len(table)) for step in steps])
        taken = table.take(chosen)
        columns = {"id": taken["id"].to_numpy(), "label": taken["label"].to_numpy(), "crops": np.full(len(chosen), 1, np.int32)}
        return LaneRows(columns | self._drawn(lane, window, steps, len(chosen), use=2), taken["image"].to_pylist())

    def _drawn(self, lane: int, window: int, steps: range, rows: int, *, use: int) -> dict[str, np.ndarray]:
        """The steps of the rows of a lane's window, and the draws of their crops."""
        shape = (rows, len(self.maker.crops), ATTEMPTS, 4)
        draws = self.order.generator(lane, window, use=use).random(shape, dtype=np.float32)
        return {"step": np.repeat(np.arange(steps.start, steps.stop, dtype=np.int32), rows // len(steps)), "draws": draws}


def _nth(index: int, rows: int) -> slice:
    return slice(index * rows, (index + 1) * rows)


def _units(parts: Iterable[LaneRows], rows: int) -> Iterator[pa.Table]:
    """The rows of some parts in tables of so many rows each; the last may have fewer."""
    unit: list[LaneRows] = []
    missing = rows
    for part in parts:
        start = 0
        while start < len(part):
            unit.append(part.part(slice(start, start + missing)))
            start, missing = start + len(unit[-1]), missing - len(unit[-1])
            if not missing:
                yield table_of(unit)
                unit, missing = [], rows
    if unit:
        yield table_of(unit)
