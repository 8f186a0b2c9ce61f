"""The part of the stream that runs in Ray Data tasks: read a window's rows, shuffle, decode, crop.

Kept free of torch, whose import would cost every task process seconds and memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.crops import ATTEMPTS, CropSpec, center_crop, random_crops
from pipelines.order import EpochOrder
from pipelines.shards import Dataset, read_rows
from pipelines.storage import Location

DATA_COLUMNS = ("id", "image", "label")


class WindowReader:
    """Reads, shuffles, decodes and crops one window; runs in Ray Data tasks.

    Called with a batch of window numbers, yields the rows of each of their steps as columns `id`, `label`, `view0`, `view1`, ...
    """

    def __init__(
        self, dataset: Dataset, split: str, order: EpochOrder, lanes: range, crops: list[CropSpec], start_step: int
    ) -> None:
        self.location: Location = dataset.location
        self.shards = dataset.split(split).shards
        self.order, self.lanes, self.crops, self.start_step = order, lanes, crops, start_step
        self.windows = list(order.windows(start_step))

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the windows whose numbers `batch["id"]` holds, a step at a time."""
        for number in batch["id"].tolist():
            window, steps = self.windows[number]
            lanes = [self._read(lane, window, steps) for lane in self.lanes]
            rows = self.order.shape.lane_rows
            for step in range(max(steps.start, self.start_step), steps.stop):
                part = slice((step - steps.start) * rows, (step - steps.start + 1) * rows)
                yield self._decode([(ids[part], images[part], labels[part], draws[part]) for ids, images, labels, draws in lanes])

    def _read(self, lane: int, window: int, steps: range) -> tuple[np.ndarray, list[bytes], np.ndarray, np.ndarray]:
        """Ids, encoded images, labels and crop draws of one lane's window, in step order."""
        rows = len(steps) * self.order.shape.lane_rows
        ids, labels, images = np.empty(rows, np.int64), np.empty(rows, np.int64), [b""] * rows
        for piece in self.order.pieces(lane, window, steps):
            table = read_rows(self.location, self.shards[piece.shard], piece.row_group, piece.rows, DATA_COLUMNS)
            ids[piece.places] = table["id"].to_numpy()
            labels[piece.places] = table["label"].fill_null(-1).to_numpy()
            for place, image in zip(piece.places.tolist(), table["image"].to_pylist(), strict=True):
                images[place] = image
        draws = self.order.generator(lane, window, use=1).random((rows, len(self.crops), ATTEMPTS, 4), dtype=np.float32)
        return ids, images, labels, draws

    def _decode(self, lanes: list[tuple[np.ndarray, list[bytes], np.ndarray, np.ndarray]]) -> dict[str, np.ndarray]:
        ids = np.concatenate([lane[0] for lane in lanes])
        columns = {"id": ids, "label": np.concatenate([lane[2] for lane in lanes])}
        pixels = [np.empty((len(ids), crop.size, crop.size, 3), np.uint8) for crop in self.crops]
        rows = ((image, draws) for lane in lanes for image, draws in zip(lane[1], lane[3], strict=True))
        for row, (image, draws) in enumerate(rows):
            for view, crop in zip(pixels, random_crops(image, self.crops, draws), strict=True):
                view[row] = crop
        return columns | {f"view{index}": view for index, view in enumerate(pixels)}


class CenterReader:
    """Reads rows in shard order and takes the evaluation view of each; runs in Ray Data tasks.

    Row groups are dealt to the workers in turn; together they cover each of the split's first `limit` rows once.
    Called with a batch of job numbers, yields columns `id`, `label`, `image`.
    """

    def __init__(
        self, dataset: Dataset, split: str, size: int, resize_to: int, limit: int | None, rank: int, workers: int
    ) -> None:
        self.location, self.size, self.resize_to = dataset.location, size, resize_to
        jobs, left = [], limit if limit is not None else dataset.split(split).rows
        for shard in dataset.split(split).shards:
            for group, rows in enumerate(shard.row_groups):
                if left > 0:
                    jobs.append((shard, group, min(rows, left)))
                    left -= rows
        self.jobs = jobs[rank::workers]

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the jobs whose numbers `batch["id"]` holds, a row group at a time."""
        for number in batch["id"].tolist():
            shard, group, rows = self.jobs[number]
            table = read_rows(self.location, shard, group, np.arange(rows), DATA_COLUMNS)
            pixels = np.empty((rows, self.size, self.size, 3), np.uint8)
            for row, image in enumerate(table["image"].to_pylist()):
                pixels[row] = center_crop(image, self.size, self.resize_to)
            labels = table["label"].fill_null(-1).to_numpy().astype(np.int64)
            yield {"id": table["id"].to_numpy(), "label": labels, "image": pixels}
