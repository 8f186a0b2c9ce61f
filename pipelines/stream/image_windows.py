"""The part of the stream that runs in Ray Data tasks: read a window's rows, shuffle, decode, crop.

Kept free of torch, whose import would cost every task process seconds and memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import ray

from pipelines.datasets.image_shards import Dataset, read_rows
from pipelines.files.location import Location
from pipelines.stream.epoch_order import EpochOrder, step_column
from pipelines.views.crops import ATTEMPTS, CropSpec, random_crops
from pipelines.views.shown_picture import Showing


@dataclass(frozen=True)
class LaneRows:
    """Rows of one lane in step order: ids, encoded images, labels (-1 where training has none), and draws of their crops."""

    ids: np.ndarray
    images: list[bytes]
    labels: np.ndarray
    draws: np.ndarray

    def part(self, rows: slice) -> LaneRows:
        """Some of the rows."""
        return LaneRows(self.ids[rows], self.images[rows], self.labels[rows], self.draws[rows])


class WindowReader:
    """Reads, shuffles, decodes and crops one window; runs in Ray Data tasks.

    Called with a batch of window numbers, yields the rows of each of their steps as columns `step`, `id`, `label`, `view0`, ...
    The stream's rows come first, without their labels; then the labelled rows of the step, which have the first view only.
    """

    def __init__(
        self, dataset: Dataset, split: str, order: EpochOrder, lanes: range, crops: list[CropSpec], start_step: int,
        labelled: ray.ObjectRef | None = None, showing: Showing | None = None,
    ) -> None:  # fmt: skip
        self.labelled, self.showing = labelled, showing or Showing()
        self.location: Location = dataset.location
        self.shards = dataset.split(split).shards
        self.order, self.lanes, self.crops, self.start_step = order, lanes, crops, start_step
        self.windows = list(order.windows(start_step))

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the windows whose numbers `batch["id"]` holds, a step at a time."""
        for number in batch["id"].tolist():
            window, steps = self.windows[number]
            lanes = [self._read(lane, window, steps) for lane in self.lanes]
            few = [self._read_labelled(lane, window, steps) for lane in self.lanes] if self.labelled is not None else []
            for index, step in enumerate(steps):
                if step >= self.start_step:
                    shape = self.order.shape
                    parts = [lane.part(slice(index * shape.lane_rows, (index + 1) * shape.lane_rows)) for lane in lanes]
                    known = [lane.part(slice(index * shape.lane_labelled, (index + 1) * shape.lane_labelled)) for lane in few]
                    yield self._decode(step, parts, known)

    def _read(self, lane: int, window: int, steps: range) -> LaneRows:
        """One lane's rows of a window; their labels stay in the shards."""
        rows = len(steps) * self.order.shape.lane_rows
        ids, images = np.empty(rows, np.int64), [b""] * rows
        for piece in self.order.pieces(lane, window, steps):
            table = read_rows(self.location, self.shards[piece.shard], piece.row_group, piece.rows, ("id", "image"))
            ids[piece.places] = table["id"].to_numpy()
            for place, image in zip(piece.places.tolist(), table["image"].to_pylist(), strict=True):
                images[place] = image
        return LaneRows(ids, images, np.full(rows, -1), self._draws(lane, window, rows, use=1))

    def _read_labelled(self, lane: int, window: int, steps: range) -> LaneRows:
        """One lane's labelled rows of a window, from the table that all nodes share."""
        table = ray.get(self.labelled)
        chosen = np.concatenate([self.order.labelled_rows(lane, step, len(table)) for step in steps])
        taken = table.take(chosen)
        draws = self._draws(lane, window, len(chosen), use=2)
        return LaneRows(taken["id"].to_numpy(), taken["image"].to_pylist(), taken["label"].to_numpy(), draws)

    def _draws(self, lane: int, window: int, rows: int, *, use: int) -> np.ndarray:
        return self.order.generator(lane, window, use=use).random((rows, len(self.crops), ATTEMPTS, 4), dtype=np.float32)

    def _decode(self, step: int, lanes: list[LaneRows], few: list[LaneRows]) -> dict[str, np.ndarray]:
        parts = [*lanes, *few]
        columns = {"id": np.concatenate([part.ids for part in parts]), "label": np.concatenate([part.labels for part in parts])}
        new = np.zeros if few else np.empty  # labelled rows have the first view only
        pixels = [new((len(columns["id"]), crop.size, crop.size, 3), np.uint8) for crop in self.crops]
        row = 0
        for part in parts:
            crops = self.crops if row < len(lanes) * self.order.shape.lane_rows else self.crops[:1]
            for image, draws in zip(part.images, part.draws, strict=True):
                random_crops(image, crops, draws[: len(crops)], self.showing, [view[row] for view in pixels[: len(crops)]])
                row += 1
        return step_column(step, row) | columns | {f"view{index}": view for index, view in enumerate(pixels)}
