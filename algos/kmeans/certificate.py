"""What a clustering can say of an epoch without looking at it again: sizes, bounds, and how far a cluster may be off them.

A price moves by the dual step times (minimum share - share) a batch, and the clamp at zero only ever adds to it. Summed over
the T batches of an epoch, minimum share - share comes to (dual at the end - dual at the start) / step at most, and to just that
where no clamp acted. Times B it reads in rows: a cluster lacks no more than its price has risen for. An upper bound's dual
says the same of the rows that a cluster has above its maximum.

Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022, section 3.2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class EpochSummary:
    """What one head did in an epoch.

    Attributes:
        counts: (K,) float64 rows given to each cluster, or the sum of their weights.
        min_size: gamma for the rows that were seen.
        slack: () smallest margin of the minimum's certificate in rows; below zero only by rounding.
        max_size: Gamma for the rows that were seen; infinity without an upper bound.
        slack_above: () smallest margin of the maximum's certificate; infinity without an upper bound.
    """

    counts: Tensor
    min_size: float
    slack: Tensor
    max_size: float
    slack_above: Tensor

    def off_bounds(self, counts: Tensor) -> Tensor:
        """Rows (), or weight, by which clusters of these sizes (K,) lie below the minimum or above the maximum, in all."""
        return ((self.min_size - counts).clamp(min=0) + (counts - self.max_size).clamp(min=0)).sum()

    def figures(self) -> dict[str, float]:
        """Margins of the certificates by plain names."""
        above = {"certificate_slack_above": float(self.slack_above)} if self.max_size < math.inf else {}
        return {"certificate_slack": float(self.slack)} | above


def margins(raised: Tensor, dual_lr: Tensor, missing: Tensor, batch_rows: Tensor) -> Tensor:
    """Rows (K,) by which each cluster stays within its bound, float64.

    Args:
        raised: (K,) rise of the bound's duals since the epoch began.
        dual_lr: (K,) step of the duals in this epoch.
        missing: (K,) float64 sum over the batches of minimum share - share, or of share - maximum share.
        batch_rows: () mean rows of a batch.
    """
    return (raised.double() / dual_lr - missing) * batch_rows
