"""Rows that lie far from the others, and what that means for clusters of a minimum size.

Too few for a cluster, they would take a center for themselves, which no price brings to the minimum: they are left out of the
learning. As many as a cluster, they are one; but the unit of prices is that of the near rows, or prices would outweigh all that
tells these apart. Far means ten times as far as the nearer rows in root mean square, and not lost among them.

Shapes: n rows, D features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algos.estimator.geometry import split

FAR = 10.0  # root mean square distances of the nearer rows; of a million normal numbers the largest has 5
LOST = 0.05  # of the sum of the nearer rows' squares; rows with less change nothing
MOST_LEFT_OUT = 0.05  # of all weight; more is structure
MOST_FAR = 0.5  # of all weight; the others are near
HIGHEST_PRICE = 3.0  # in units of all rows' mean square, that some 20 passes come to
SAMPLED = 1024  # rows whose median is the middle


@dataclass(frozen=True)
class FarRows:
    """Places of far rows, ascending.

    Attributes:
        left_out: (m,) those too few for a cluster.
        without_scale: (l,) these, and those far ones that are as many as a cluster, or that no price would give enough rows.
    """

    left_out: Tensor
    without_scale: Tensor


def far_rows(rows: Tensor, weights: Tensor | None, least: float) -> FarRows:
    """Find the rows that are far.

    Args:
        rows: (n, D).
        weights: (n,) float64 of mean 1; `None` for 1 each.
        least: weight of the smallest cluster that is to be.
    """
    squares, farthest = squared_distances(rows).sort(descending=True)
    counting = torch.ones_like(squares) if weights is None else weights[farthest].double()
    weighed = squares * counting
    nearer, left = _sums_after(weighed), _sums_after(counting)  # summed from the nearest on: nothing cancels
    far = squares * left > FAR**2 * nearer
    ends = far & (nearer > 0) & (weighed.cumsum(0) > LOST * nearer)
    ends[:-1] &= ~far[1:]
    taken = counting.cumsum(0)
    few = _up_to_last(ends & (taken < least) & (taken <= max(MOST_LEFT_OUT * len(rows), 1.0)), farthest)
    # With `least` rows, far ones among them, a center lies at taken / least of their distance: half its square is the price.
    alone = (taken >= least) | (taken * len(rows) > 2 * HIGHEST_PRICE * least**2)
    many = _up_to_last(ends & alone & (taken <= MOST_FAR * len(rows)), farthest)
    return FarRows(few, many if len(many) else few)


def squared_distances(rows: Tensor) -> Tensor:
    """Squared distance (n,) float64 of each row from the middle, a median in each feature."""
    middle = rows[:: max(len(rows) // SAMPLED, 1)].double().median(dim=0).values
    return torch.cat([(piece.double() - middle).square().sum(dim=1) for piece in split(rows, rows.shape[1])])


def _sums_after(values: Tensor) -> Tensor:
    """For each place the sum of the values after it, (n,)."""
    sums = values.flip(0).cumsum(0).flip(0)
    return torch.cat([sums[1:], sums.new_zeros(1)])


def _up_to_last(ends: Tensor, places: Tensor) -> Tensor:
    """The places up to the last end, ascending; none without an end."""
    found = ends.nonzero()
    return places[: int(found[-1, 0]) + 1].sort().values if len(found) else places[:0]
