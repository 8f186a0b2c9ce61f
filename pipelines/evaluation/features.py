"""Features of every row of a split, each exactly once, through Ray Data."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from algos.distributed.collectives import one_worker_at_a_time
from algos.networks import feature_size
from pipelines.datasets.image_shards import Dataset
from pipelines.stream.center_crops import CenterReader, EvaluationView, center_rows
from pipelines.stream.ray_data import configure_ray_data
from pipelines.views.augment import normalize


def center_batches(
    dataset: Dataset, split: str, view: EvaluationView, *, limit: int | None = None, rank: int = 0, workers: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray, Tensor]]:
    """Ids (B,), labels (B,) and uint8 images (B, 3, S, S) of this worker's share of a split's first `limit` rows."""
    configure_ray_data(2 * workers)
    reader = CenterReader(dataset, split, view.size, view.resize_to, limit, rank, workers)
    if not reader.jobs:
        return
    for batch in center_rows(reader).iter_batches(batch_size=256, prefetch_batches=2):
        yield batch["id"], batch["label"], torch.from_numpy(batch["image"].copy()).permute(0, 3, 1, 2)


def check_each_once(ids: Tensor, split: str, expected: int) -> None:
    """Refuse rows that came twice or not at all.

    Raises:
        RuntimeError: with both counts.
    """
    if len(ids) != expected or len(torch.unique(ids)) != expected:
        raise RuntimeError(f"{len(ids)} rows of split {split!r} were embedded, {expected} expected")


@torch.no_grad()
def split_features(
    network: nn.Module, dataset: Dataset, split: str, view: EvaluationView, device: torch.device,
    *, limit: int | None = None, rank: int = 0, workers: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Ids (M,) int64, labels (M,) int64 and features (M, F) float32 of all workers' rows, on the host, by id.

    Every worker gets the whole result. The network runs with BatchNorm in evaluation mode and is left as it was.

    Raises:
        RuntimeError: if a row came twice or not at all.
    """
    was_training = network.training
    network.eval()
    ids, labels, features = [], [], []
    try:
        for batch_ids, batch_labels, images in center_batches(dataset, split, view, limit=limit, rank=rank, workers=workers):
            pixels = normalize(images.to(device).float() / 255, view.mean, view.std)
            features.append(network(pixels).float().cpu())
            ids.append(torch.from_numpy(batch_ids.copy()))
            labels.append(torch.from_numpy(batch_labels.copy()))
    finally:
        network.train(was_training)
    width = feature_size(network)
    mine = torch.stack(
        [torch.cat([*ids, torch.empty(0, dtype=torch.int64)]), torch.cat([*labels, torch.empty(0, dtype=torch.int64)])], dim=1
    )
    keys = torch.cat(list(one_worker_at_a_time(mine)))
    values = torch.cat(list(one_worker_at_a_time(torch.cat([*features, torch.empty(0, width)]))))
    expected = min(limit or dataset.split(split).rows, dataset.split(split).rows)
    check_each_once(keys[:, 0], split, expected)
    order = keys[:, 0].argsort()
    return keys[order, 0], keys[order, 1], values[order]
