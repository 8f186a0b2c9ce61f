"""How good clusters are, by their sizes, their centers and a sample of their rows.

Shapes: K clusters, D numbers a row, S rows of a sample. Distances are 1 - cosine of unit rows, or Euclidean ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

NUMBERS_HELD = 1 << 22  # distances at once


def gini(sizes: np.ndarray) -> float:
    """Gini coefficient of sizes (K,): 0 where all are equal, near 1 where one cluster has all rows."""
    rising, clusters = np.sort(np.asarray(sizes, np.float64)), len(sizes)
    if not rising.sum():
        return 0.0
    ranks = 2 * np.arange(1, clusters + 1) - clusters - 1
    return float(ranks @ rising / (clusters * rising.sum()))


def nearest_centers(centers: np.ndarray, *, spherical: bool) -> tuple[np.ndarray, np.ndarray]:
    """For each center (K, D) its nearest other one, (K,) int64, and their distance (K,); -1 and NaN where there is no other."""
    nearest, distance = np.full(len(centers), -1), np.full(len(centers), np.nan)
    if len(centers) > 1:
        for mine, found in _distances(centers, centers, spherical=spherical):
            found[np.arange(len(found)), np.arange(mine.start, mine.stop)] = np.inf
            nearest[mine] = found.argmin(axis=1)
            distance[mine] = found.min(axis=1)
    return nearest, distance


def closest_pairs(nearest: np.ndarray, distance: np.ndarray, most: int) -> list[tuple[int, int]]:
    """The pairs of clusters, smaller number first, of which one's center is nearest to the other's; the closest ones in order."""
    order = np.argsort(distance, kind="stable")
    pairs = dict.fromkeys((min(int(k), int(nearest[k])), max(int(k), int(nearest[k]))) for k in order if nearest[k] >= 0)
    return list(pairs)[:most]


def simplified_silhouette(rows: np.ndarray, labels: np.ndarray, centers: np.ndarray, *, spherical: bool) -> np.ndarray:
    """(b - a) / max(a, b) of each row (S, D), (S,): a is the distance to its own center, b that to the nearest other one.

    0 where both are 0; needs two centers.
    """
    values = np.zeros(len(rows))
    for mine, found in _distances(rows, centers, spherical=spherical):
        at = np.arange(len(found)), labels[mine]
        own = found[at].clip(0)
        found[at] = np.inf
        other = found.min(axis=1).clip(0)
        larger = np.maximum(own, other)
        values[mine] = np.divide(other - own, larger, out=np.zeros(len(own)), where=larger > 0)
    return values


def _distances(rows: np.ndarray, centers: np.ndarray, *, spherical: bool) -> Iterator[tuple[slice, np.ndarray]]:
    """Distances (R, K) float64 of some rows at a time to all centers."""
    origin = np.zeros(1) if spherical else centers.mean(axis=0, dtype=np.float64)  # or far from 0 differences would drown
    moved = centers.astype(np.float64) - origin
    lengths = np.square(moved).sum(axis=1)
    step = max(NUMBERS_HELD // len(centers), 1)
    for start in range(0, len(rows), step):
        mine = slice(start, min(start + step, len(rows)))
        some = rows[mine].astype(np.float64) - origin
        product = some @ moved.T
        if spherical:
            yield mine, 1 - product
        else:
            yield mine, np.sqrt((np.square(some).sum(axis=1)[:, None] - 2 * product + lengths).clip(0))
