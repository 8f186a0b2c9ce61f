"""What a probe trains on: all labelled images of a split, or a copy of the few that a selection names, and their classes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.datasets.encoded_image import open_image
from pipelines.datasets.image_shards import Dataset, Split, read_column, read_images
from pipelines.datasets.label_selection import Selection
from pipelines.datasets.shard_files import SCHEMA, Shard, write_shard
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.views.shown_picture import Showing

IMAGES = "images"  # folder of a probe's run, with the few that it trains on


@dataclass(frozen=True)
class LabelledImages:
    """Images and the classes that training may see.

    Attributes:
        dataset: with the split that is trained on.
        split: its name.
        classes: names, in the order of the classifier's outputs and of the labels.
    """

    dataset: Dataset
    split: str
    classes: list[str]

    def labels(self) -> np.ndarray:
        """Class of each instance by its id (N,) int64."""
        return read_column(self.dataset, self.split, "label")


def copy_selected(dataset: Dataset, selection: Selection, folder: Location) -> Dataset:
    """The selected images as a data set of its own, with the same ids, written by a task a shard.

    They are few, and lie anywhere: an epoch over the shards would read all images for them.

    Raises:
        UserError: when a selected instance has no image, or one that cannot be decoded.
    """
    task = ray.remote(num_cpus=0, scheduling_strategy="SPREAD")(_copy_shard)
    split, labels = dataset.split(selection.split), ray.put(dict(zip(selection.ids, selection.labels, strict=True)))
    (folder / selection.split).make()
    each = [replace(dataset, splits={selection.split: replace(split, shards=[shard])}) for shard in split.shards]
    parts = ray.get([task.remote(one, selection.split, labels, folder, index) for index, one in enumerate(each)])
    shards = [shard for shard, _ in parts if shard is not None]
    if bad := [row for _, unreadable in parts for row in unreadable]:
        raise UserError(f"instance {bad[0]} of the labels has an image that cannot be decoded; leave it out of them")
    if sum(shard.rows for shard in shards) != len(selection.ids):
        raise UserError(f"the labels name instances that have no image in {dataset.location}; run quorum labels again")
    counts = np.bincount(selection.labels, minlength=len(selection.classes)).tolist()
    return Dataset(folder, dataset.name, selection.classes, {selection.split: Split(split.ids, shards, counts)}, 0)


def _copy_shard(one: Dataset, split: str, labels: dict[int, int], folder: Location, index: int) -> tuple[Shard | None, list[int]]:
    """Write the labelled rows of a data set of one shard; returns the copy, if it has rows, and ids that cannot be decoded."""
    images = read_images(one, split, list(labels))
    if not images:
        return None, []
    bad = [] if one.split(split).is_checked else [row for row, image in images.items() if not _is_readable(image)]
    columns: dict[str, Any] = {
        "id": list(images), "image": list(images.values()), "label": [labels[row] for row in images],
        "split": [split] * len(images), "source": [str(row) for row in images],
    }  # fmt: skip
    table = pa.table(columns, schema=SCHEMA).sort_by("id")
    return write_shard(folder, f"{split}/part-{index:05d}.parquet", table, {"split": split}), bad


def _is_readable(image: bytes) -> bool:
    """Whether training can show an image: in the copy nothing is left out any more."""
    try:
        Showing().show(open_image(image)).load()
    except Exception:  # codecs raise what they like
        return False
    return True
