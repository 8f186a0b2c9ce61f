"""The clustering of each level, as the worker loop trains it: parents first, then the clusters below them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.exact.repair_sizes import repair_sizes
from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.level_bounds import child_counts
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from algos.kmeans.step_arithmetic import assign, priced_similarities
from pipelines.clustering.initial_centers import draw_centers, sample_rows
from pipelines.datasets.embedding_folder import EmbeddingFolder

if TYPE_CHECKING:
    from pipelines.clustering.loop import ClusterTask

SETTLED_ROWS = 64  # a parent, of those that settle its price
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


class FirstChildren(NamedTuple):
    """What the clusters below parents begin with.

    Attributes:
        prices: (M,) of the parents from here on.
        children: (M,) int64 clusters of each parent.
        centers: (K, D) first ones of the clusters.
    """

    prices: Tensor
    children: Tensor
    centers: Tensor

    @classmethod
    def empty(cls, parents: OnlineConstrainedKMeans, clusters: int) -> FirstChildren:
        """Room for them, on the parents' device."""
        count, dim = parents.centers.shape
        children = torch.empty(count, dtype=torch.int64, device=parents.centers.device)
        return cls(torch.empty_like(parents.duals), children, parents.centers.new_empty(clusters, dim))

    def below(self, parents: OnlineConstrainedKMeans, task: ClusterTask, vectors: EmbeddingFolder) -> NestedConstrainedKMeans:
        """The clustering that begins with them below parents, on their device."""
        given = (each.cpu() for each in (parents.centers, *self))
        return NestedConstrainedKMeans(*given, **_options(task, vectors)).to(parents.centers.device)


def draw_children(task: ClusterTask, vectors: EmbeddingFolder, parents: OnlineConstrainedKMeans) -> FirstChildren:
    """What the clusters of each parent begin with, on the CPU, by a sample of the rows.

    Prices of the parents become those that keep their bounds in the sample: as the last batches left them they are about right
    for a pass, and not for labels. Centers are drawn among a parent's own rows. They are copies where these are too few; a
    parent without a row in the sample gives its own center.

    Args:
        task: of the clustering.
        vectors: the rows, as they are read.
        parents: after their last pass.

    Raises:
        UserError: for a sampled row that is spoilt.
    """
    (clusters,) = task.heads
    wanted = min(MOST_SAMPLE * clusters, max(LEAST_SAMPLE * clusters, EASY_SAMPLE), vectors.rows)
    sample = torch.from_numpy(sample_rows(vectors, wanted, task.seed))
    centers, prices = parents.centers.cpu(), settled_prices(parents, sample, task)
    labels = torch.cat(
        [
            assign(priced_similarities(few, centers, prices, spherical=parents.spherical))
            for few in sample.split(LABELLED_TOGETHER)
        ]
    )
    sizes = labels.bincount(minlength=len(centers))
    children = child_counts(sizes, clusters, vectors.rows, task.min_size_ratio, task.max_size_ratio)
    members = labels.argsort(stable=True).split(sizes.tolist())
    first = []
    for parent, (mine, count) in enumerate(zip(members, children.tolist(), strict=True)):
        rows = (sample[mine] if len(mine) else centers[parent : parent + 1]).numpy()
        chosen = draw_centers(rows, min(count, len(rows)), task.seed, level=1, head=parent)
        first.append(torch.from_numpy(np.resize(chosen, (count, rows.shape[1]))))
    return FirstChildren(prices, children, torch.cat(first))


def settled_prices(parents: OnlineConstrainedKMeans, sample: Tensor, task: ClusterTask) -> Tensor:
    """Prices (M,) of parents under which these keep their bounds in a sample of rows (R, D), on the CPU."""
    count, random = len(parents.centers), torch.Generator().manual_seed(task.seed)
    chosen = torch.randperm(len(sample), generator=random)[: max(SETTLED_ROWS * count, EASY_SAMPLE)]
    rows, centers = sample[chosen].double(), parents.centers.cpu().double()
    shift = torch.zeros(count, dtype=torch.float64) if parents.spherical else centers.square().sum(dim=1) / -2

    def similarities(some: Tensor, clusters: Tensor) -> Tensor:
        return torch.addmm(shift[clusters], rows[some], centers[clusters].T)

    least = minimum_rows(task.min_size_ratio, len(rows), count)
    most = None if task.max_size_ratio is None else maximum_rows(task.max_size_ratio, len(rows), count)
    return repair_sizes(similarities, len(rows), parents.prices.cpu(), least, most).prices.to(parents.centers.dtype)


def _options(task: ClusterTask, vectors: EmbeddingFolder) -> dict[str, Any]:
    return {
        "min_size_ratio": task.min_size_ratio, "max_size_ratio": task.max_size_ratio, "dual_lr": task.dual_lr,
        "batches_per_epoch": task.shape.steps(vectors.rows), "spherical": task.metric == "cosine",
    }  # fmt: skip
