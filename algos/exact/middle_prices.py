"""Optimal prices away from the ties that a flow leaves, so that the labels are a strict argmax.

Optimal prices form a polytope: along every arc, a price may exceed another by no more than a row loses there. The flow ends on
its surface, where paths have no reduced cost. From there each price moves, in sweeps over all of them, towards the middle of what
its arcs leave it. Either end takes a quarter of an arc's slack at most, so no sweep leaves the polytope or crosses it. A price
that nothing keeps from falling, such as that of a cluster that may have no row, falls as far as the largest slack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

SWEEPS = 200


def middle_prices(slack: sparse.csr_matrix, prices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Prices (V,) in the middle of what the arcs leave them; the last node's stays.

    Args:
        slack: (V, V), by how much the target's price may rise against the source's, for every arc.
        prices: (V,) at which these are the slacks.
    """
    arcs = slack.tocoo()
    moved, far = np.zeros_like(prices), float(arcs.data.max(initial=0.0)) or 1.0
    for _ in range(SWEEPS):
        left = (arcs.data + moved[arcs.row] - moved[arcs.col]).clip(min=0.0)
        up, down = np.full((2, len(prices)), np.inf)
        np.minimum.at(up, arcs.col, left)
        np.minimum.at(down, arcs.row, left)
        down[np.isinf(down)] = far
        free = np.isfinite(up)
        step = np.where(free, (np.where(free, up, 0.0) - down) / 4, 0.0)
        step[-1] = 0.0
        moved += step
    return prices + moved
