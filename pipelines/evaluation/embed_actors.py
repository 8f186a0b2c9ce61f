"""A pool of Ray Data actors that embeds every row of a split with a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import ray
import ray.data
import torch

from algos.precision import Precision
from pipelines.datasets.image_shards import Dataset
from pipelines.evaluation.embedding_sources import EmbeddingSource
from pipelines.stream.images.center_crops import CenterReader, center_rows
from pipelines.stream.ray_data import configure_ray_data
from pipelines.views.augment import normalize


def embedded_rows(source: EmbeddingSource, dataset: Dataset, split: str, *, workers: int, gpu: bool) -> ray.data.Dataset:
    """The rows of a split in shard order, with the columns that `Embedder` makes.

    Args:
        source: what they are embedded with.
        dataset: the shards.
        split: of the shards.
        workers: actors.
        gpu: one GPU each, and no CPU, of which the tasks that read need one.
    """
    configure_ray_data()
    reader = CenterReader(dataset, split, source.view, None, 0, 1)
    return center_rows(reader).map_batches(
        Embedder, fn_constructor_args=(ray.put(source), gpu), batch_size=256,
        compute=ray.data.ActorPoolStrategy(size=workers), num_gpus=1 if gpu else None, num_cpus=0 if gpu else None,
    )  # fmt: skip


class Embedder:
    """A Ray Data actor: images in, features and what else the source makes out, BatchNorm in evaluation mode.

    Args:
        sent: the source, in Ray's object store.
        gpu: whether to run on a GPU.
    """

    def __init__(self, sent: Any, gpu: bool) -> None:
        source: EmbeddingSource = ray.get(sent) if isinstance(sent, ray.ObjectRef) else sent
        self.device, self.view = torch.device("cuda" if gpu else "cpu"), source.view
        self.precision = Precision(source.precision, self.device)
        self.columns = source.on(self.device)

    @torch.no_grad()
    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Columns `id`, `label`, `feature` (B, F) and the source's own of `CenterReader`'s rows."""
        images = torch.from_numpy(batch["image"].copy()).permute(0, 3, 1, 2).to(self.device)
        pixels = normalize(images.float() / 255, self.view.mean, self.view.std)
        with self.precision.autocast():
            columns = self.columns(pixels)
        made = {name: column.cpu().numpy() for name, column in columns.items() if name != "feature"}
        return {**made, "id": batch["id"], "label": batch["label"], "feature": columns["feature"].float().cpu().numpy()}
