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
    out, back = slack.tocsr().tocoo(), slack.tocsc().tocoo()  # the arcs by their sources, and by their targets
    sources, leaving = np.unique(out.row, return_index=True)
    targets, coming = np.unique(back.col, return_index=True)
    far = float(slack.data.max(initial=0.0)) or 1.0
    moved, up, down = np.zeros_like(prices), np.zeros_like(prices), np.full_like(prices, far)
    free = np.zeros(len(prices), dtype=bool)
    free[targets] = True
    free[-1] = False
    for _ in range(SWEEPS if len(targets) else 0):
        up[targets] = np.minimum.reduceat(_left(back, moved), coming)
        down[sources] = np.minimum.reduceat(_left(out, moved), leaving)
        moved += np.where(free, (up - down) / 4, 0.0)
    return prices + moved


def _left(arcs: sparse.coo_matrix, moved: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slack of arcs (A,) once the prices (V,) have moved."""
    left: NDArray[np.float64] = (arcs.data + moved[arcs.row] - moved[arcs.col]).clip(min=0.0)
    return left
