"""The nearest row among those before a row, for every row: what tells near-duplicates from the first of their kind.

Products are made in blocks, so nothing of size n x n is held. Free of torch and Ray.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

BLOCK, TILE = 1024, 4096  # rows that are compared with earlier ones together, and how many of these at a time
SLACK = 1e-5  # more than float32 products of unit rows may err by
NONE = -1  # there is no earlier row


def nearest_earlier(rows: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """The greatest cosine of each row with one before it, and the first row that has it.

    Products are float32. Those that may reach the threshold are made again in float64, so a cosine at the threshold or above is
    right to the last bit or two of float32.

    Args:
        rows: (n, D) float32, of length 1 up to rounding.
        threshold: cosine from which on it has to be exact.

    Returns:
        Cosines (n,) float32, -inf for the first row; earlier rows (n,) int64, -1 for the first.
    """
    cosines, earlier = np.full(len(rows), -np.inf, np.float32), np.full(len(rows), NONE, np.int64)
    for start in range(0, len(rows), BLOCK):
        mine = np.arange(start, min(start + BLOCK, len(rows)))
        cosines[mine], earlier[mine] = _best(rows, mine, np.float32)
        near = mine[cosines[mine] >= threshold - SLACK]
        cosines[near], earlier[near] = _best(rows, near, np.float64)
    return cosines, earlier


def _best(rows: np.ndarray, of: np.ndarray, kind: type[np.floating]) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and places as `nearest_earlier` gives them, of some rows in ascending order, with products of a precision."""
    best, place = np.full(len(of), -np.inf, np.float32), np.full(len(of), NONE, np.int64)
    if not len(of):
        return best, place
    mine, each = _as(rows[of], kind), np.arange(len(of))
    for start, tile in _tiles(rows[: of[-1]]):
        products = (mine @ _as(tile, kind).T).astype(np.float32, copy=False)
        if start + len(tile) > of[0]:
            products[np.arange(start, start + len(tile)) >= of[:, None]] = -np.inf
        column = products.argmax(axis=1)
        found = products[each, column]
        better = found > best  # and not as good: the first that has it stays
        best[better], place[better] = found[better], start + column[better]
    return best, place


def _tiles(rows: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    return ((start, rows[start : start + TILE]) for start in range(0, len(rows), TILE))


def _as(rows: np.ndarray, kind: type[np.floating]) -> np.ndarray:
    """Rows in a precision; in float64 of length 1, which float32 keeps to 1e-7 only."""
    if kind is np.float32:
        return rows
    exact = rows.astype(kind)
    unit: np.ndarray = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    return unit
