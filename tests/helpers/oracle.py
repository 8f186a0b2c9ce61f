"""The exact answer that clusters of a minimum size are held against: the assignment as a linear program."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.optimize import linprog


def best_total(similarities: np.ndarray, least: float) -> float:
    """Largest total of similarities (n, K) when every cluster gets at least `least` rows; the vertices are integral."""
    n, k = similarities.shape
    rows = sparse.kron(sparse.eye(n), np.ones((1, k)))
    sizes = -sparse.kron(np.ones((1, n)), sparse.eye(k))
    solution = linprog(-similarities.ravel(), A_ub=sizes, b_ub=np.full(k, -least), A_eq=rows, b_eq=np.ones(n), bounds=(0, 1))
    assert solution.status == 0
    return float(-solution.fun)
