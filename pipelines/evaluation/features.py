"""Features of every row of a split, each exactly once, through Ray Data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from algos.distributed.collectives import one_worker_at_a_time
from algos.networks import feature_size
from algos.precision import Autocast, Precision
from pipelines.datasets.image_shards import Dataset
from pipelines.stream.images.center_crops import CenterReader, EvaluationView, center_rows
from pipelines.stream.ray_data import batches_of, configure_ray_data
from pipelines.views.augment import normalize

COLUMNS_AT_A_TIME = 16  # floats: a cache line


def center_batches(
    dataset: Dataset, split: str, view: EvaluationView, *, limit: int | None = None, rank: int = 0, workers: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, Tensor]]:
    """Ids (B,), labels (B,) and uint8 images (B, 3, S, S) of this worker's share of `limit` rows of a split, spread over it."""
    configure_ray_data()
    reader = CenterReader(dataset, split, view, limit, rank, workers)
    if not reader.jobs:
        return
    for batch in batches_of(center_rows(reader), batch_size=256, prefetch_batches=2):
        yield batch["id"], batch["label"], torch.from_numpy(batch["image"].copy()).permute(0, 3, 1, 2)


class RowsById:
    """Columns of a split's rows, each gathered in one array, whatever order the rows come in.

    Args:
        rows: that there are to be.
    """

    def __init__(self, rows: int) -> None:
        self.rows, self._filled = rows, 0
        self._columns: dict[str, np.ndarray] = {}

    def add(self, batch: Mapping[str, np.ndarray]) -> int:
        """Take the next rows, which have an `id`; returns how many.

        Raises:
            RuntimeError: when they are too many.
        """
        count = len(batch["id"])
        if self._filled + count > self.rows:
            raise RuntimeError(f"{self._filled + count} rows were embedded, {self.rows} expected")
        for name, values in batch.items():
            if name not in self._columns:
                self._columns[name] = np.empty((self.rows, *values.shape[1:]), values.dtype)
            self._columns[name][self._filled : self._filled + count] = values
        self._filled += count
        return count

    def by_id(self) -> dict[str, Tensor]:
        """The columns, ordered by id where they are: no second array of their size is made.

        Raises:
            RuntimeError: if a row came twice or not at all.
        """
        ids = self._columns.get("id", np.empty(0, np.int64))
        distinct = len(np.unique(ids[: self._filled]))
        if not self._filled == distinct == self.rows:
            raise RuntimeError(f"{self._filled} rows were embedded, {distinct} of them distinct, {self.rows} expected")
        order = ids.argsort()
        if (np.diff(order) != 1).any():
            for values in self._columns.values():
                _reorder(values, order)
        return {name: torch.from_numpy(values) for name, values in self._columns.items()}


def _reorder(values: np.ndarray, order: np.ndarray) -> None:
    """Permute the rows in place, some columns at a time."""
    flat = values.reshape(len(values), -1)
    for start in range(0, flat.shape[1], COLUMNS_AT_A_TIME):
        flat[:, start : start + COLUMNS_AT_A_TIME] = flat[order, start : start + COLUMNS_AT_A_TIME]


@torch.no_grad()
def split_features(
    network: nn.Module, dataset: Dataset, split: str, view: EvaluationView, device: torch.device,
    *, limit: int | None = None, rank: int = 0, workers: int = 1, precision: str = "fp32",
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Ids (M,) int64, labels (M,) int64 and features (M, F) float32 of all workers' rows, on the host, by id.

    Every worker gets the whole result. The network runs with BatchNorm in evaluation mode and is left as it was.

    Raises:
        RuntimeError: if a row came twice or not at all.
    """
    was_training, lesser = network.training, Autocast(network, Precision(precision, device))
    network.eval()
    keys = [torch.empty(0, 2, dtype=torch.int64)]
    features = [torch.empty(0, feature_size(network))]
    try:
        for ids, labels, images in center_batches(dataset, split, view, limit=limit, rank=rank, workers=workers):
            pixels = normalize(images.to(device).float() / 255, view.mean, view.std)
            features.append(lesser(pixels).float().cpu())
            keys.append(torch.from_numpy(np.stack([ids, labels], axis=1)))
    finally:
        network.train(was_training)
    rows = RowsById(min(limit or dataset.split(split).rows, dataset.split(split).rows))
    shares = zip(one_worker_at_a_time(torch.cat(keys)), one_worker_at_a_time(torch.cat(features)), strict=True)
    for numbers, values in shares:
        rows.add({"id": numbers[:, 0].numpy(), "label": numbers[:, 1].numpy(), "feature": values.numpy()})
    found = rows.by_id()
    return found["id"], found["label"], found["feature"]
