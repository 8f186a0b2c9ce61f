"""Similarities of all rows and clusters, asked for in pieces, and what follows from them: labels under prices, and a bound.

Shapes: n rows, K clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from algos.exact.signed_prices import SizeBounds
from algos.kmeans.constrained_kmeans import assign

# Similarities (rows asked for, clusters asked for) in float64 on the CPU, given indices of rows and of clusters.
Similarities = Callable[[Tensor, Tensor], Tensor]

SIMILARITIES_HELD = 1 << 22  # similarities held at once: 32 MiB


def pieces(rows: Tensor, num_clusters: int) -> Iterator[Tensor]:
    """Row indices in pieces whose similarities fit into `SIMILARITIES_HELD`."""
    yield from rows.split(max(SIMILARITIES_HELD // num_clusters, 1)) if len(rows) else ()


def priced_labels(similarities: Similarities, num_rows: int, prices: Tensor) -> tuple[Tensor, float]:
    """Most similar cluster of each row after the prices are added, (n,) int64, and the total similarity of these labels."""
    clusters, total = torch.arange(len(prices)), torch.zeros((), dtype=torch.float64)
    labels = torch.empty(num_rows, dtype=torch.int64)
    for piece in pieces(torch.arange(num_rows), len(prices)):
        values = similarities(piece, clusters)
        labels[piece] = assign(values + prices)
        total += values.gather(1, labels[piece][:, None]).sum()
    return labels, float(total)


def bound_objective(similarities: Similarities, labels: Tensor, prices: Tensor, bounds: SizeBounds) -> tuple[float, float]:
    """Total similarity of the labels, and the Lagrangian bound that no labels within these bounds of sizes exceed.

    The bound is sum_i max_k (s_ik + p_k) - sum_k (p_k^+ least_k - p_k^- most_k); it holds for any prices p.
    """
    clusters, achieved, best = torch.arange(len(prices)), [], []
    for piece in pieces(torch.arange(len(labels)), len(prices)):
        values = similarities(piece, clusters)
        achieved.append(values.gather(1, labels[piece][:, None]).sum())
        best.append((values + prices).amax(dim=1).sum())
    return float(torch.stack(achieved).sum()), float(torch.stack(best).sum()) - bounds.value(prices)
