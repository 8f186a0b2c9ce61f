"""The least and the most rows that a cluster is to have; free of torch."""

from __future__ import annotations

import math


def minimum_rows(min_size_ratio: float, num_rows: int, num_clusters: int) -> int:
    """Least rows of a cluster at a ratio in [0, 1] of the mean size n / K: rounded up, but no more than all clusters can have."""
    wanted = math.ceil(min_size_ratio * num_rows / num_clusters - 1e-9)
    return min(wanted, num_rows // num_clusters)


def maximum_rows(max_size_ratio: float, num_rows: int, num_clusters: int) -> int:
    """Most rows of a cluster at a ratio of 1 or more to the mean size n / K: rounded down, but no fewer than all rows need."""
    wanted = math.floor(max_size_ratio * num_rows / num_clusters + 1e-9)
    return max(wanted, math.ceil(num_rows / num_clusters))
