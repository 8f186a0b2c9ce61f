"""The evaluation view of every row of a split, each exactly once, in Ray Data tasks; free of torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pyarrow as pa
import ray
import ray.data

from pipelines.datasets.image_shards import Dataset, Split
from pipelines.datasets.shard_files import Shard, read_group
from pipelines.jobs.ray_quirks.data import same_in_statistics
from pipelines.stream.images.crop_maker import shown_or_grey
from pipelines.stream.ray_data import numbered
from pipelines.views.crops import center_crop
from pipelines.views.shown_picture import Showing

DATA_COLUMNS = ("id", "image", "label")
MOST_RUN = 64  # rows one after the other in a sample: row groups are read whole
LEAST_RUNS = 32
READ_WHOLE = 32  # times as many rows as a sample has, up to which a split of any order is read for single rows


class CenterReader:
    """Reads rows in shard order and takes the evaluation view of each; runs in Ray Data tasks.

    Row groups are dealt to the workers in turn; together they cover each row once, or of more than `limit` a sample from the
    split's first to its last: what was appended, and what lies class by class, has its share.
    Called with a batch of job numbers, yields columns `id`, `label`, `image`.
    """

    def __init__(self, dataset: Dataset, split: str, view: EvaluationView, limit: int | None, rank: int, workers: int) -> None:
        part = dataset.split(split)
        self.location, self.view, self.checked = dataset.location, view, part.is_checked
        jobs = _whole(part) if limit is None or limit >= part.rows else _sample(part, limit)
        self.jobs = jobs[rank::workers]

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the jobs whose numbers `batch["id"]` holds, a row group at a time."""
        for job in batch["id"].tolist():
            shard, group, places = self.jobs[job]
            table = read_group(self.location, shard, group, DATA_COLUMNS)
            table = table if places is None else table.take(pa.array(places))
            ids, columns = table["id"].to_numpy(), self.room(len(table))
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


Job = tuple[Shard, int, np.ndarray | None]  # a row group of a shard, and the places of its rows that are taken, if not all


def _whole(part: Split) -> list[Job]:
    return [(shard, group, None) for shard in part.shards for group, rows in enumerate(shard.row_groups) if rows]


def _sample(part: Split, limit: int) -> list[Job]:
    """`limit` rows that are spread over a split.

    An ingest shuffles, so that runs of its rows are as good as single ones, and cost fewer reads; rows of others may lie in any
    order.
    """
    single = not part.is_checked and part.rows <= READ_WHOLE * limit
    rows = spread(part.rows, limit, 1 if single else min(max(limit // LEAST_RUNS, 1), MOST_RUN))
    groups, jobs = _whole(part), list[Job]()
    starts = np.cumsum([0, *(shard.row_groups[group] for shard, group, _ in groups)])
    for (shard, group, _), (start, end) in zip(groups, itertools.pairwise(starts), strict=True):
        places = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
        if len(places):
            jobs.append((shard, group, places))
    return jobs


def spread(rows: int, limit: int, run: int) -> np.ndarray:
    """Places of `limit` of so many rows, in runs of `run` rows that lie evenly, in their order; all where there are no more."""
    count = min(limit, rows)
    runs, taken = math.ceil(rows / run), math.ceil(count / run)
    firsts = np.arange(taken) * runs // taken * run
    return (firsts[:, None] + np.arange(run)).ravel()[:count]


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
    rows = numbered(count).map_batches(reader, batch_size=None, zero_copy_batch=True)
    return same_in_statistics(rows, "evaluation")
