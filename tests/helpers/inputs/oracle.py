"""The exact answer that clusters of bounded sizes are held against: the assignment as a linear program."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.optimize import linprog


def best_total(similarities: np.ndarray, least: ArrayLike, most: ArrayLike | None = None) -> float:
    """Largest total of similarities (n, K) when every cluster gets `least` to `most` rows; the vertices are integral."""
    n, k = similarities.shape
    rows = sparse.kron(sparse.eye(n), np.ones((1, k)))
    sizes = sparse.kron(np.ones((1, n)), sparse.eye(k))
    bounds = -np.broadcast_to(least, k), np.broadcast_to(n if most is None else most, k)
    limits = {"A_ub": sparse.vstack([-sizes, sizes]), "b_ub": np.concatenate(bounds)}
    solution = linprog(-similarities.ravel(), **limits, A_eq=rows, b_eq=np.ones(n), bounds=(0, 1))
    assert solution.status == 0
    return float(-solution.fun)
