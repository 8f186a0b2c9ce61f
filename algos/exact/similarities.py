"""Similarities of all rows and clusters, asked for in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

# Similarities (rows asked for, clusters asked for) in float64 on the CPU, given indices of rows and of clusters.
Similarities = Callable[[Tensor, Tensor], Tensor]

SIMILARITIES_HELD = 1 << 22  # similarities held at once: 32 MiB


def pieces(rows: Tensor, num_clusters: int) -> Iterator[Tensor]:
    """Row indices in pieces whose similarities fit into `SIMILARITIES_HELD`."""
    yield from rows.split(max(SIMILARITIES_HELD // num_clusters, 1)) if len(rows) else ()
