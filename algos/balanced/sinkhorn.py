"""Balanced assignment: prices of clusters under which the rows of a batch share themselves out equally, softly.

Shapes: B rows of a batch over all workers, K clusters of one head. The plan Q is the matrix of least transport cost, up to an
entropy of weight epsilon, whose rows sum to 1 and whose columns sum to B / K. It has the form

    Q_ik = exp((s_ik + price_k) / epsilon) / (sum over the clusters),

and Sinkhorn's iteration finds the prices: scale the columns to equal totals, then the rows to 1, and again. A factor that all
columns have in common drops out of a row's scale, so no total of the whole matrix is needed, and workers exchange K numbers
an iteration. Because the last step scales the rows, columns are equal only roughly after few iterations.

Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (SwAV), NeurIPS 2020,
section 3.1, equations 3 to 5; Cuturi, "Sinkhorn Distances", NeurIPS 2013.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from algos.distributed.collectives import sum_over_workers


@torch.no_grad()
def balancing_prices(heads: Sequence[Tensor], *, epsilon: float, iterations: int) -> list[Tensor]:
    """What to add to the similarities of each head's clusters, (K,) float64 each; all workers call it together.

    Args:
        heads: similarities (B, K) of this worker's rows to the clusters of each head, at most 1. Workers may have different
            numbers of rows; the prices are those of all.
        epsilon: weight of the entropy; small makes the plan hard, large makes it uniform. At least
            `LEAST_EPSILON` of `plan_settings`.
        iterations: 1 or more.
    """
    # No similarity of unit vectors is above 1: what is taken off is the same for all, and nothing can overflow.
    kernels = [((head.double() - 1) / epsilon).exp_() for head in heads]
    sizes = [kernel.shape[1] for kernel in kernels]
    rows = [kernel.new_ones(len(kernel)) for kernel in kernels]
    scales: Sequence[Tensor] = []
    for _ in range(iterations):
        totals = sum_over_workers(torch.cat([row @ kernel for row, kernel in zip(rows, kernels, strict=True)]))
        # The highest price is 0: left free, what all clusters of a head have in common would drift from iteration to iteration.
        scales = [head.min() / head for head in totals.split(sizes)]
        rows = [(kernel @ scale).reciprocal() for kernel, scale in zip(kernels, scales, strict=True)]
    return [epsilon * scale.log() for scale in scales]


def balanced_plan(similarities: Tensor, prices: Tensor, epsilon: float) -> Tensor:
    """The plan Q (B, K) float64 of similarities (B, K) under their prices (K,); each row sums to 1."""
    return ((similarities.double() + prices) / epsilon).softmax(dim=1)
