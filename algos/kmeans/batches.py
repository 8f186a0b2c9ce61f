"""How a pass over rows that stay is cut into batches where nobody chose it; free of torch."""

from __future__ import annotations

LEAST_BATCHES = 20  # of a pass: with fewer updates prices swing instead of settling


def batch_rows(num_rows: int, most_clusters: int) -> int:
    """Rows of a batch: a 32nd of a pass, at least 256 and K, at most 8192."""
    return min(max(num_rows // 32, 256, most_clusters), 8192)
