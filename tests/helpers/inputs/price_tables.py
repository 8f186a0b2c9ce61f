"""Tables of similarities for the tests of exact sizes."""

from __future__ import annotations

import torch

from algos.exact.similarities import Similarities


def lookup(table: torch.Tensor) -> Similarities:
    """Similarities out of a table (n, K)."""
    return lambda rows, clusters: table[rows][:, clusters]


def zeros(clusters: int) -> torch.Tensor:
    """Prices (K,) to start from."""
    return torch.zeros(clusters, dtype=torch.float64)


def priced_labels(similarities: Similarities, rows: int, prices: torch.Tensor) -> torch.Tensor:
    """Most similar cluster of each row after the prices (K,) are added, (n,) int64."""
    return (similarities(torch.arange(rows), torch.arange(len(prices))) + prices).argmax(dim=1)
