"""Clusters that rows may get, as lists that are joined and filtered.

Shapes: E entries, K clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass
class Entries:
    """Clusters that a row may get: rows, clusters and similarities, (E,) each."""

    rows: Indices
    clusters: Indices
    values: Numbers

    def of(self, chosen: NDArray[np.bool_] | Indices) -> Entries:
        """Some of the entries."""
        return Entries(self.rows[chosen], self.clusters[chosen], self.values[chosen])

    def value(self, rows: Indices, clusters: Indices, num_clusters: int) -> Numbers:
        """Similarities of listed rows and clusters."""
        keys = self.rows * num_clusters + self.clusters
        order = keys.argsort()
        return self.values[order[np.searchsorted(keys, rows * num_clusters + clusters, sorter=order)]]

    def with_more(self, other: Entries) -> Entries:
        """These and others."""
        return Entries(*(np.concatenate(both) for both in zip(vars(self).values(), vars(other).values(), strict=True)))
