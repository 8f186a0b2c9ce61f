"""The clustering of each level, as the worker loop trains it: parents first, then the clusters below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.level_bounds import child_counts
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from pipelines.clustering.initial_centers import draw_centers, sample_rows
from pipelines.datasets.embedding_folder import EmbeddingFolder

if TYPE_CHECKING:
    from pipelines.clustering.loop import ClusterTask

LEAST_SAMPLE, MOST_SAMPLE = 4, 10  # rows a cluster, of those that the first centers of clusters are drawn from
EASY_SAMPLE = 40_960  # rows, up to which it is the larger of the two
LABELLED_TOGETHER = 8192


def new_kmeans(task: ClusterTask, vectors: EmbeddingFolder) -> OnlineConstrainedKMeans:
    """The clustering core for these vectors, before it has learned anything; of two levels that of the parents."""
    return OnlineConstrainedKMeans(task.first_heads, vectors.dim, **_options(task, vectors))


def restored_kmeans(task: ClusterTask, vectors: EmbeddingFolder, state: dict[str, Any]) -> OnlineConstrainedKMeans:
    """The clustering in a checkpoint, of the level that it had come to."""
    kmeans = new_kmeans(task, vectors)
    if "child_counts" in state:
        parents = state["parent_centers"], state["parent_prices"], state["child_counts"]
        kmeans = NestedConstrainedKMeans(*parents, state["centers"], **_options(task, vectors))
    kmeans.load_state_dict(state)
    return kmeans


def children_of(task: ClusterTask, vectors: EmbeddingFolder, given: Tensor, clusters: int) -> Tensor:
    """Clusters of each parent, (M,) int64 on the CPU, where the last pass has given the parents these rows (M,)."""
    return child_counts(given.cpu(), clusters, vectors.rows, task.min_size_ratio, task.max_size_ratio)


def below(
    parents: OnlineConstrainedKMeans, children: Tensor, first: Tensor, task: ClusterTask, vectors: EmbeddingFolder
) -> NestedConstrainedKMeans:
    """The clustering below parents, each of which has so many clusters (M,), with first centers (K, D); on their device."""
    device, options = parents.centers.device, _options(task, vectors)
    centers, prices = parents.centers.cpu(), parents.prices.cpu()
    return NestedConstrainedKMeans(centers, prices, children, first.cpu(), **options).to(device)


def draw_children(vectors: EmbeddingFolder, parents: OnlineConstrainedKMeans, children: Tensor, seed: int) -> np.ndarray:
    """First centers (K, D) float32 of the clusters of each parent, among its own rows in a sample.

    They are copies where these are too few; a parent without a row in the sample gives its own center.

    Args:
        vectors: the rows, as they are read.
        parents: of which there are M.
        children: (M,) clusters of each.
        seed: of the sample, and of what is drawn from it.

    Raises:
        UserError: for a sampled row that is spoilt.
    """
    clusters = int(children.sum())
    wanted = min(MOST_SAMPLE * clusters, max(LEAST_SAMPLE * clusters, EASY_SAMPLE), vectors.rows)
    sample, device = sample_rows(vectors, wanted, seed), parents.centers.device
    labels = torch.cat([parents.assign(few.to(device))[0].cpu() for few in torch.from_numpy(sample).split(LABELLED_TOGETHER)])
    order, sizes = labels.argsort(stable=True).numpy(), labels.bincount(minlength=len(children))
    centers = np.empty((clusters, sample.shape[1]), np.float32)
    done = 0
    for parent, mine in enumerate(np.split(order, sizes.cumsum(0)[:-1].numpy())):
        rows = sample[mine] if len(mine) else parents.centers[parent : parent + 1].numpy(force=True)
        count = int(children[parent])
        chosen = draw_centers(rows, min(count, len(rows)), seed, level=1, head=parent)
        centers[done : done + count] = np.resize(chosen, (count, sample.shape[1]))
        done += count
    return centers


def _options(task: ClusterTask, vectors: EmbeddingFolder) -> dict[str, Any]:
    return {
        "min_size_ratio": task.min_size_ratio, "max_size_ratio": task.max_size_ratio, "dual_lr": task.dual_lr,
        "batches_per_epoch": task.shape.steps(vectors.rows), "spherical": task.metric == "cosine",
    }  # fmt: skip
