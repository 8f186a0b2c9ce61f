"""The arithmetic of a step of online constrained k-means: similarities, labels, statistics, duals and centers.

Shapes: B rows of a batch, D embedding size, K clusters. Without `spherical`, rows and centers have any length and the similarity
is x . c - |c|^2 / 2: largest where the Euclidean distance is smallest.

Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022, section 3.2. The
step of the upper bound is the same derivation with the other sign.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

FEW_THREADS = 4  # of a CPU: numpy, which uses one, finds a row's maximum in a quarter of the time that torch takes on one


def priced_similarities(embeddings: Tensor, centers: Tensor, prices: Tensor, *, spherical: bool = True) -> Tensor:
    """Similarity of each row and center after the center's price is added, (B, K)."""
    prices = prices if spherical else prices - centers.square().sum(dim=1) / 2
    return torch.addmm(prices, embeddings, centers.T)


def closeness(embeddings: Tensor, centers: Tensor, *, spherical: bool = True) -> Tensor:
    """Similarity of each row to a center of its own, both (..., D): x . c, or minus half the squared distance."""
    return (centers * embeddings).sum(dim=-1) if spherical else (embeddings - centers).square().sum(dim=-1) / -2


def assign(similarities: Tensor) -> Tensor:
    """Cluster of each row of priced similarities (B, K), (B,) int64; the first of equal ones."""
    if similarities.device.type == "cpu" and torch.get_num_threads() <= FEW_THREADS:
        return torch.from_numpy(similarities.numpy().argmax(axis=1))
    return similarities.max(dim=1).indices  # on a CPU in half the time of argmax


def add_statistics(statistics: Tensor, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
    """Add the rows of each cluster, and their number, to `statistics` (K, D + 1) float64: sums first, counts in the last column.

    One tensor, so that workers exchange one message. In float64 a sum of float32 rows is exact, all but always, so it does not
    depend on how workers and threads share the rows. `labels` may be (B,) or a multiple of B long (several heads one after
    another); the embeddings repeat as needed. `weights` (B,) count a row for more or less than one.
    """
    rows = statistics.new_empty(len(embeddings), embeddings.shape[1] + 1)
    rows[:, :-1], rows[:, -1] = embeddings, 1
    rows = rows if weights is None else rows * weights[:, None]
    rows = rows.expand(len(labels) // max(len(embeddings), 1), -1, -1).reshape(len(labels), rows.shape[1])  # one head: no copy
    statistics.index_add_(0, labels, rows)


def ascend(duals: Tensor, share: Tensor, min_share: Tensor, dual_lr: Tensor, *, equality: bool) -> Tensor:
    """Raise the price of clusters that got less than their minimum share of the batch, lower the others'.

    All (K,). `share` is n_k / B, `min_share` is gamma_k / N.
    """
    duals = duals - dual_lr * (share - min_share)
    return duals if equality else duals.clamp(min=0.0)  # a lower bound can only attract; equality may also repel


def ascend_above(max_duals: Tensor, share: Tensor, max_share: Tensor, dual_lr: Tensor) -> Tensor:
    """Raise the upper bound's dual of clusters that got more than their maximum share of the batch, lower the others'.

    All (K,). `share` is n_k / B, `max_share` is Gamma_k / N. The dual is taken off a cluster's similarities.
    """
    return (max_duals + dual_lr * (share - max_share)).clamp(min=0.0)


def move(centers: Tensor, seen: Tensor, counts: Tensor, sums: Tensor, *, normalize: bool = True) -> Tensor:
    """Running mean of each cluster's rows, (K, D); a cluster without a row in this batch keeps its center.

    `seen` (K,) counts the rows of the epoch before this batch: at 0 the first rows replace the old center.
    """
    hit = counts > 0  # elsewhere the sums are 0, and weight and length 1: the center stays as it is
    moved = torch.addcmul(sums, torch.where(hit, seen, 1.0)[:, None], centers)
    length = torch.linalg.vector_norm(moved, dim=1).clamp(min=1e-12) if normalize else seen + counts
    return moved.div_(torch.where(hit, length, 1.0)[:, None])


def random_centers(num_clusters: int, dim: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Random unit vectors (K, D)."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(num_clusters, dim, generator=generator, dtype=dtype), dim=1)
