"""The evaluation view of every row of a split, each exactly once, in Ray Data tasks; free of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import ray
import ray.data

from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.shard_files import read_group
from pipelines.jobs.ray_quirks import same_in_statistics
from pipelines.stream.images.crop_maker import shown_or_grey
from pipelines.views.crops import center_crop
from pipelines.views.shown_picture import Showing

DATA_COLUMNS = ("id", "image", "label")


class CenterReader:
    """Reads rows in shard order and takes the evaluation view of each; runs in Ray Data tasks.

    Row groups are dealt to the workers in turn; together they cover each of the split's first `limit` rows once.
    Called with a batch of job numbers, yields columns `id`, `label`, `image`.
    """

    def __init__(self, dataset: Dataset, split: str, view: EvaluationView, limit: int | None, rank: int, workers: int) -> None:
        self.location, self.view, self.checked = dataset.location, view, dataset.split(split).is_checked
        jobs, left = [], limit if limit is not None else dataset.split(split).rows
        for shard in dataset.split(split).shards:
            if left <= 0:
                break
            for group, rows in enumerate(shard.row_groups):
                if left > 0:
                    jobs.append((shard, group, min(rows, left)))
                    left -= rows
        self.jobs = jobs[rank::workers]

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the jobs whose numbers `batch["id"]` holds, a row group at a time."""
        for job in batch["id"].tolist():
            shard, group, rows = self.jobs[job]
            table = read_group(self.location, shard, group, DATA_COLUMNS).slice(0, rows)
            ids, columns = table["id"].to_numpy(), self.room(rows)
            for row, (number, image) in enumerate(zip(ids.tolist(), table["image"].to_pylist(), strict=True)):
                take = partial(self.take, image, number, columns, row)
                shown_or_grey(take, [columns["image"][row]], checked=self.checked)
            labels = table["label"].fill_null(-1).to_numpy().astype(np.int64)
            yield {"id": ids, "label": labels, **columns}

    def room(self, rows: int) -> dict[str, np.ndarray]:
        """Columns to fill."""
        return {"image": np.empty((rows, self.view.size, self.view.size, 3), np.uint8)}

    def take(self, image: bytes, number: int, columns: dict[str, np.ndarray], row: int) -> None:
        """Fill a row of the columns by the encoded image of an id."""
        center_crop(image, self.view.size, self.view.resize_to, self.view.showing, columns["image"][row])


RESIZE_FACTOR = 256 / 224  # of the shorter side to the crop, the usual ImageNet evaluation


@dataclass(frozen=True)
class EvaluationView:
    """The one view that evaluation takes of an image: resize, central crop of `size` px, normalise by `mean` and `std`.

    `crop` is the side of the crop as a share of the shorter side; null for 7/8 of it, and of images up to 64 px the whole.
    """

    size: int
    mean: Sequence[float]
    std: Sequence[float]
    showing: Showing = field(default_factory=Showing)
    crop: float | None = None

    @property
    def resize_to(self) -> int:
        """Shorter side before the crop, px; small images are not cropped, their border is content."""
        if self.crop is not None:
            return math.floor(self.size / self.crop)  # as timm rounds it
        return self.size if self.size <= 64 else round(self.size * RESIZE_FACTOR)


def center_rows(reader: CenterReader) -> ray.data.Dataset:
    """The reader's rows as a Ray data set, in their order; one at a time in a process."""
    count = len(reader.jobs)
    rows = ray.data.range(count, override_num_blocks=count).map_batches(reader, batch_size=None, zero_copy_batch=True)
    return same_in_statistics(rows, "evaluation")
