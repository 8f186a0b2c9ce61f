"""A pool of Ray Data actors that embeds every row of a split with a trained network."""

from __future__ import annotations

import numpy as np
import ray.data
import torch

from algos.precision import Precision
from pipelines.datasets.image_shards import Dataset
from pipelines.runs.trained_model import Trained
from pipelines.stream.center_crops import CenterReader, EvaluationView, center_rows
from pipelines.stream.ray_data import configure_ray_data
from pipelines.views.augment import normalize


def embedded_rows(
    trained: Trained, dataset: Dataset, split: str, *, workers: int, gpu: bool, untrained: bool = False, classify: bool = False
) -> ray.data.Dataset:
    """The rows of a split in shard order, with the columns that `Embedder` makes.

    Args:
        trained: the network.
        dataset: the shards.
        split: of the shards.
        workers: actors.
        gpu: one GPU each.
        untrained: with the network's initial weights.
        classify: also ask the method's own classifiers, each of which runs a backbone of its own.
    """
    configure_ray_data()
    view = trained.view
    reader = CenterReader(dataset, split, view, None, 0, 1)
    return center_rows(reader).map_batches(
        Embedder, fn_constructor_args=(trained.place, view, gpu, untrained, classify), batch_size=256,
        compute=ray.data.ActorPoolStrategy(size=workers), num_gpus=1 if gpu else None,
    )  # fmt: skip


class Embedder:
    """A Ray Data actor: images in, features and clusters out, BatchNorm in evaluation mode."""

    def __init__(self, place: str, view: EvaluationView, gpu: bool, untrained: bool, classify: bool) -> None:
        self.device, self.view = torch.device("cuda" if gpu else "cpu"), view
        trained = Trained.open(place)
        self.precision = Precision(trained.precision, self.device)
        self.method = trained.method(untrained=untrained).to(self.device)
        classifiers = self.method.classifiers() if classify else {}
        self.classifiers = {name: classifier.eval() for name, classifier in classifiers.items()}

    @torch.no_grad()
    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Columns `id`, `label`, `feature` (B, F), `clusters` (B, H), and each classifier's guess, of `CenterReader`'s rows."""
        images = torch.from_numpy(batch["image"].copy()).permute(0, 3, 1, 2).to(self.device)
        pixels = normalize(images.float() / 255, self.view.mean, self.view.std)
        with self.precision.autocast():
            features, clusters = self.method.embed(pixels)
            guesses = {name: classify(pixels).argmax(dim=1).cpu().numpy() for name, classify in self.classifiers.items()}
        return {
            **guesses,
            "id": batch["id"],
            "label": batch["label"],
            "feature": features.float().cpu().numpy(),
            "clusters": clusters.T.cpu().numpy(),
        }
