"""Which rows belong together: each removed row points to an earlier one, and such chains end at a row that is kept."""

from __future__ import annotations

import numpy as np


def kept_ends(removed: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """The kept row (R,) that each removed one leads to.

    Args:
        removed: (R,) ascending places of the removed rows.
        earlier: (R,) the place that each points to; no chain of them closes.
    """
    at = np.searchsorted(removed, earlier)
    inside = np.minimum(at, max(len(removed) - 1, 0))
    above = np.where(removed[inside] == earlier, inside, -1)  # which of the removed rows is pointed to
    ends = earlier.copy()
    while (climbing := np.flatnonzero(above >= 0)).size:  # each round doubles the steps that are taken
        ends[climbing], above[climbing] = ends[above[climbing]], above[above[climbing]]
    return ends


def group_sizes(ends: np.ndarray) -> np.ndarray:
    """Rows (R,) of the group that each removed row is in, the kept one counted."""
    _, group, rows = np.unique(ends, return_inverse=True, return_counts=True)
    sizes: np.ndarray = rows[group] + 1
    return sizes
