"""Passes of constrained k-means over rows that stay: how large batches are, and what a pass begins with and leaves behind.

Embeddings that are being learned drift, and their clustering goes on as it is; over fixed rows centers and prices can settle.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.constrained_kmeans import ConstrainedKMeans, EpochSummary

LEAST_BATCHES = 20  # of a pass: with fewer updates prices swing instead of settling
CARRIED = 10  # a pass starts from the old center at the weight of a tenth of its rows; nothing at all is noisy at first


def batch_rows(num_rows: int, most_clusters: int) -> int:
    """Rows of a batch where nobody chose them: a 32nd of a pass, at least 256 and K, at most 8192."""
    return min(max(num_rows // 32, 256, most_clusters), 8192)


class Passes:
    """A clustering's passes over fixed rows.

    Args:
        kmeans: on its device, with the step sizes of the duals in the first pass.
    """

    def __init__(self, kmeans: ConstrainedKMeans) -> None:
        self.kmeans = kmeans
        self.carried = torch.zeros_like(kmeans.counts)  # rows that the present pass began with
        self._first_dual_lr = kmeans.dual_lr.clone()

    def begin(self, number: int) -> None:
        """Start pass `number`, from 0: the step of the duals falls with 1 / pass, so that prices settle."""
        self.kmeans.dual_lr.copy_(self._first_dual_lr / (number + 1))

    def end(self) -> tuple[Tensor, list[EpochSummary]]:
        """Close a pass; returns the rows (sum of K,) that it gave to each cluster, and the heads' summaries."""
        given = self.kmeans.counts - self.carried
        summaries = self.kmeans.end_epoch()
        self.carried = given // CARRIED
        self.kmeans.counts.copy_(self.carried)
        return given, summaries
