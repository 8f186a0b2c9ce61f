"""Figures of a network's features that need no labels, of the first images of a split and of two random views of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.distributed.collectives import one_worker_at_a_time
from algos.label_free_scores import alignment, alpha_req, lidar, rankme, uniformity
from algos.networks import feature_size
from algos.precision import Autocast, Precision
from pipelines.datasets.image_shards import Dataset
from pipelines.evaluation.features import RowsById, split_features
from pipelines.evaluation.random_views import RandomViewReader
from pipelines.runs.trained_model import Trained
from pipelines.stream.images.center_crops import EvaluationView, center_rows
from pipelines.stream.ray_data import batches_of, configure_ray_data
from pipelines.tracking import figures
from pipelines.views.augment import RandomViews, normalize

SEED = 0  # of the random views, whatever a run's is
BATCH = 128  # images


def feature_figures(
    network: nn.Module, dataset: Dataset, split: str, view: EvaluationView, views: RandomViews, device: torch.device,
    *, images: int, rank: int = 0, workers: int = 1, precision: str = "fp32",
) -> dict[str, float]:  # fmt: skip
    """RankMe, alpha-ReQ and uniformity of center crops, LiDAR and alignment of random views, by their plain names.

    All workers call it together and get the same. The network runs in evaluation mode and is left as it was. What needs more
    images or numbers than there are is left out: alpha-ReQ 100 of each, LiDAR more images than numbers, uniformity two; and so
    is all of features that are not finite.

    Args:
        network: images -> features (B, F), with `num_features`.
        dataset: the shards.
        split: of the shards.
        view: that is taken of an image for the figures of single features.
        views: two random views of each image.
        device: that the network is on.
        images: how many of the split's, the first ones.
        rank: of this worker.
        workers: that share the images.
        precision: that the network runs in.
    """
    _, _, features = split_features(
        network, dataset, split, view, device, limit=images, rank=rank, workers=workers, precision=precision
    )
    seen = view_features(
        network, dataset, split, view, views, device, images=images, rank=rank, workers=workers, precision=precision
    )
    if not (features.isfinite().all() and seen.isfinite().all()):  # of a network that has blown up, which its loss tells
        return {"images": float(len(features))}
    features, seen = features.to(device), seen.to(device)
    slope, told = alpha_req(features), lidar(seen)
    return (
        {"images": float(len(features)), "rankme": rankme(features), "alignment": alignment(seen)}
        | ({"uniformity": uniformity(features)} if len(features) > 1 else {})
        | ({"alpha_req": slope[0], "alpha_req_fit": slope[1]} if slope else {})
        | ({"lidar": told} if told else {})
    )


def run_features(trained: Trained, dataset: Dataset, split: str, *, gpu: bool, untrained: bool) -> dict[str, float]:
    """The figures of a run's backbone on a split, by the names that they are recorded under; as training has them.

    Args:
        trained: the run.
        dataset: the shards.
        split: of the shards.
        gpu: whether to run on this machine's GPU.
        untrained: whether with the weights before the first step.
    """
    device = torch.device("cuda" if gpu else "cpu")
    network = trained.method(untrained=untrained).to(device).backbone
    found = feature_figures(
        network, dataset, split, trained.view, trained.random_views, device, images=trained.feature_images,
        precision=trained.precision,
    )  # fmt: skip
    return figures.of_features(found, split)


@torch.no_grad()
def view_features(
    network: nn.Module, dataset: Dataset, split: str, view: EvaluationView, views: RandomViews, device: torch.device,
    *, images: int, rank: int = 0, workers: int = 1, precision: str = "fp32",
) -> Tensor:  # fmt: skip
    """Features (M, 2, F) float32 on the host of two random views of each image, by id; arguments as of `feature_figures`.

    Raises:
        RuntimeError: if a row came twice or not at all.
    """
    was_training, lesser = network.training, Autocast(network, Precision(precision, device))
    network.eval()
    configure_ray_data()
    reader = RandomViewReader(dataset, split, view, views.crops, views.draws, SEED, images, rank, workers)
    ids, found = [torch.empty(0, dtype=torch.int64)], [torch.empty(0, len(views.rules), feature_size(network))]
    try:
        for batch in batches_of(center_rows(reader), batch_size=BATCH, prefetch_batches=2) if reader.jobs else ():
            ids.append(torch.from_numpy(batch["id"].copy()))
            pixels = [normalize(one, view.mean, view.std) for one in views.finished(batch["image"], batch["draws"], device)]
            found.append(torch.stack([lesser(one).float().cpu() for one in pixels], dim=1))
    finally:
        network.train(was_training)
    rows = RowsById(min(images, dataset.split(split).rows))
    for numbers, values in zip(one_worker_at_a_time(torch.cat(ids)), one_worker_at_a_time(torch.cat(found)), strict=True):
        rows.add({"id": numbers.numpy(), "feature": values.numpy()})
    return rows.by_id()["feature"]
