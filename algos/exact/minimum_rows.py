"""The least rows that a cluster is to have; free of torch."""

from __future__ import annotations

import math


def minimum_rows(min_size_ratio: float, num_rows: int, num_clusters: int) -> int:
    """Least rows of a cluster at a ratio in [0, 1] of the mean size n / K: rounded up, but no more than all clusters can have."""
    wanted = math.ceil(min_size_ratio * num_rows / num_clusters - 1e-9)
    return min(wanted, num_rows // num_clusters)
