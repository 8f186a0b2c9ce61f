"""What a clustering can say of an epoch without looking at it again: sizes, minimum, and a bound on what a cluster lacks.

A price moves by the dual step times (minimum share - share) a batch, and the clamp at zero only ever adds to it. Summed over
the T batches of an epoch, minimum share - share comes to (dual at the end - dual at the start) / step at most, and to just that
where no clamp acted. Times B it reads in rows: a cluster lacks no more than its price has risen for.

Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022, section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EpochSummary:
    """What one head did in an epoch.

    Attributes:
        counts: (K,) float64 rows given to each cluster, or the sum of their weights.
        min_size: gamma for the rows that were seen.
        slack: () smallest margin of the certificate in rows; below zero only by rounding.
    """

    counts: Tensor
    min_size: float
    slack: Tensor


def margins(raised: Tensor, dual_lr: Tensor, missing: Tensor, batch_rows: Tensor) -> Tensor:
    """Rows (K,) by which each cluster stays within its bound, float64.

    Args:
        raised: (K,) rise of the duals since the epoch began.
        dual_lr: (K,) step of the duals in this epoch.
        missing: (K,) float64 sum over the batches of minimum share - share.
        batch_rows: () mean rows of a batch.
    """
    return (raised.double() / dual_lr - missing) * batch_rows
