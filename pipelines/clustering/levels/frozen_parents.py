"""Parents of clusters, as labels follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FrozenParents:
    """What parents follow from.

    Attributes:
        centers: (M, D).
        prices: (M,).
        children: (M,) int64 clusters of each; cluster numbers run through the parents in turn.
    """

    centers: np.ndarray
    prices: np.ndarray
    children: np.ndarray

    @property
    def parent_of(self) -> np.ndarray:
        """Parent of each cluster, (K,) int64."""
        return np.repeat(np.arange(len(self.children)), self.children)

    @property
    def first_child(self) -> np.ndarray:
        """Number of each parent's first cluster, (M,) int64."""
        first: np.ndarray = np.cumsum(self.children) - self.children
        return first

    def rows(self, counts: np.ndarray) -> np.ndarray:
        """Rows of each parent (M,), of those of each cluster (K,)."""
        return np.bincount(self.parent_of, weights=counts, minlength=len(self.children)).astype(counts.dtype)
