"""Which clusters of one clustering are which of another one of the same rows: matched one to one by the rows that they share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

MOST_PAIRS = 1 << 24  # of clusters with rows: the table of so many, and the matching, take seconds


@dataclass(frozen=True)
class ClusterOverlap:
    """Two clusterings of the same M rows, of K and L clusters.

    Attributes:
        pairs: (P, 2) int64: the clusters that belong together, those that share the most rows first.
        shared: (P,) int64 rows that each pair shares, at least 1.
        first_sizes: (K,) int64 rows of each cluster of the first.
        second_sizes: (L,) int64 rows of each cluster of the second.
        first_purity: share of the rows that lie in that cluster of the second which most of their cluster of the first lie in.
        second_purity: the same from the second to the first.
    """

    pairs: np.ndarray
    shared: np.ndarray
    first_sizes: np.ndarray
    second_sizes: np.ndarray
    first_purity: float
    second_purity: float

    @property
    def rows(self) -> int:
        """M."""
        return int(self.first_sizes.sum())

    @property
    def shared_share(self) -> float:
        """Share of the rows that lie in both clusters of a pair."""
        return float(self.shared.sum() / self.rows)

    def unmatched(self, side: int) -> np.ndarray:
        """Clusters without a partner, of the first (0) or the second (1), also those without rows, in ascending order."""
        sizes = (self.first_sizes, self.second_sizes)[side]
        return np.setdiff1d(np.arange(len(sizes)), self.pairs[:, side])


def match_clusters(first: np.ndarray, second: np.ndarray, clusters: tuple[int, int]) -> ClusterOverlap:
    """Match clusters one to one so that the pairs share as many rows as any matching can.

    Args:
        first: (M,) integer clusters of the rows in one clustering, from 0.
        second: (M,) integer clusters of the same rows in the other.
        clusters: K and L.

    Raises:
        ValueError: for no rows, a cluster that is out of range, or more pairs of clusters with rows than `MOST_PAIRS`.
    """
    if len(first) != len(second) or not len(first):
        raise ValueError(f"the clusterings must be of the same rows, at least one, got {len(first)} and {len(second)}")
    for labels, count in zip((first, second), clusters, strict=True):
        if labels.min() < 0 or labels.max() >= count:
            raise ValueError(f"a cluster lies outside 0 to {count - 1}")
    sizes = [np.bincount(labels, minlength=count) for labels, count in zip((first, second), clusters, strict=True)]
    filled = [np.flatnonzero(each) for each in sizes]  # empty clusters would only make the table larger
    if len(filled[0]) * len(filled[1]) > MOST_PAIRS:
        raise ValueError(
            f"{len(filled[0]):,} x {len(filled[1]):,} clusters are more than the {MOST_PAIRS:,} pairs that are matched"
        )
    table = np.zeros((len(filled[0]), len(filled[1])), np.int64)
    np.add.at(table, (np.searchsorted(filled[0], first), np.searchsorted(filled[1], second)), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    shared = table[rows, columns]
    order = np.argsort(-shared, kind="stable")
    order = order[shared[order] > 0]
    pairs = np.stack([filled[0][rows[order]], filled[1][columns[order]]], axis=1)
    purities = [float(table.max(axis=axis).sum() / len(first)) for axis in (1, 0)]
    return ClusterOverlap(pairs, shared[order], sizes[0], sizes[1], *purities)
