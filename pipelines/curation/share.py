"""How many rows each cluster gives to a sample of a given size: as many as any other, until it has no more.

Integers throughout, so the total is exact. Clusters below clusters share from the top down. Free of torch and Ray.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np


def share(budget: int, sizes: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Rows (K,) int64 of each cluster; those that are left by equal shares go one each to clusters drawn at random.

    The total is min(budget, sum of sizes), and two clusters differ by at most 1 unless the smaller share is the whole cluster.

    Args:
        budget: rows of the sample.
        sizes: (K,) rows of each cluster.
        random: that draws.
    """
    sizes = np.asarray(sizes, np.int64)
    if sizes.sum() <= budget:
        return sizes.copy()
    # The greatest that every cluster can give, as far as it has it; the last number is too much for all.
    cut = bisect_right(range(int(sizes.max()) + 1), budget, key=lambda each: int(np.minimum(each, sizes).sum())) - 1
    shares: np.ndarray = np.minimum(cut, sizes)
    more = random.choice(np.flatnonzero(sizes > cut), budget - int(shares.sum()), replace=False)
    shares[more] += 1
    return shares


def share_tree(budget: int, sizes: np.ndarray, parents: Sequence[np.ndarray], seed: int) -> np.ndarray:
    """Rows (K,) int64 of each cluster of the finest level, shared among the coarsest clusters first, then inside each.

    Each draw has a generator of its own, by seed, level and cluster, so it does not depend on who makes it or in which order.

    Args:
        budget: rows of the sample.
        sizes: (K,) rows of each cluster of the finest level.
        parents: of each level but the coarsest, from the finest up, the cluster above each; none for one level.
        seed: of the draws.
    """
    levels = [np.asarray(sizes, np.int64)]
    for parent in parents:
        levels.append(np.bincount(parent, weights=levels[-1]).astype(np.int64))
    shares = share(budget, levels[-1], np.random.default_rng([seed, len(parents)]))
    for level in reversed(range(len(parents))):
        parent, above, shares = parents[level], shares, np.zeros(len(levels[level]), np.int64)
        members = np.split(np.argsort(parent, kind="stable"), np.cumsum(np.bincount(parent))[:-1])
        for cluster, mine in enumerate(members):
            shares[mine] = share(int(above[cluster]), levels[level][mine], np.random.default_rng([seed, level, cluster]))
    return shares
