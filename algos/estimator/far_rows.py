"""Rows so far out, and so few, that no cluster of the minimum size could be made of them.

One such row takes a center for itself, which no price brings the minimum to, and carries the unit of prices off until they outweigh
all that tells the other rows apart. Far means ten times as far as the nearer rows in root mean square.

Shapes: n rows, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.estimator.geometry import split

FAR = 10.0  # root mean square distances of the nearer rows; of a million normal numbers the largest has 5
MOST = 0.05  # of all weight; more is structure
SAMPLED = 1024  # rows whose median is the middle


def far_rows(rows: Tensor, weights: Tensor | None, least: float) -> Tensor:
    """Places (m,) of the rows that are far, ascending.

    Args:
        rows: (n, D).
        weights: (n,) float64 of mean 1; `None` for 1 each.
        least: weight of the smallest cluster that is to be; the far rows together have less, and at most a twentieth of all.
    """
    squares, nearest = squared_distances(rows).sort(descending=True)
    counting = torch.ones_like(squares) if weights is None else weights[nearest].double()
    nearer, left = _sums_after(squares * counting), _sums_after(counting)  # beyond each row, from the nearest on: nothing cancels
    far = squares * left > FAR**2 * nearer
    ends = far & ~far.roll(-1) & (nearer > 0)
    ends[-1:] = False
    taken = counting.cumsum(0)
    ends &= (taken < least) & (taken <= max(MOST * len(rows), 1.0))
    last = ends.nonzero()
    return nearest[: int(last[-1, 0]) + 1].sort().values if len(last) else nearest[:0]


def squared_distances(rows: Tensor) -> Tensor:
    """Squared distance (n,) float64 of each row from the middle, a median in each feature."""
    middle = rows[:: max(len(rows) // SAMPLED, 1)].double().median(dim=0).values
    return torch.cat([(piece.double() - middle).square().sum(dim=1) for piece in split(rows, rows.shape[1])])


def _sums_after(values: Tensor) -> Tensor:
    """For each place the sum of the values after it, (n,)."""
    return values.flip(0).cumsum(0).flip(0).roll(-1).index_fill(0, torch.tensor([len(values) - 1], device=values.device), 0)
