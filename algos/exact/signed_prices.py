"""Bounds on sizes and the signed prices that belong to them.

A cluster's price is positive where its minimum is tight, negative where its maximum is, and 0 between: the difference of the
multipliers of the two bounds, of which at most one is positive at the optimum. No maximum is one of `UNBOUNDED` rows, whose
price never pays.

Shapes: K clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNBOUNDED = 1 << 40  # rows


class SizeBounds(NamedTuple):
    """Least and most rows of each cluster, both (K,) int64."""

    least: Tensor
    most: Tensor

    @classmethod
    def of(cls, min_size: int | Tensor, max_size: int | Tensor | None, num_clusters: int) -> SizeBounds:
        """Bounds that are one for all clusters or (K,); `None` is no maximum."""
        most = UNBOUNDED if max_size is None else max_size
        least, most = (torch.as_tensor(each).long().cpu().expand(num_clusters) for each in (min_size, most))
        return cls(least, most.clamp(max=UNBOUNDED))

    def require(self, num_rows: int) -> None:
        """Refuse bounds that no labels of so many rows keep.

        Raises:
            ValueError: says which bounds, in one sentence.
        """
        clusters, least, most = len(self.least), int(self.least.sum()), int(self.most.sum())
        if bool((self.least > self.most).any()):
            first = int((self.least > self.most).nonzero()[0, 0])
            raise ValueError(
                f"cluster {first} is to have {int(self.least[first])} rows at least and {int(self.most[first])} at most; "
                "a minimum may not exceed its maximum"
            )
        if least > num_rows:
            raise ValueError(f"{clusters} clusters need {least} rows for their minimum sizes; there are {num_rows}")
        if most < num_rows:
            raise ValueError(f"{clusters} clusters have room for {most} rows under their maximum sizes; there are {num_rows}")

    @property
    def bounded_above(self) -> NDArray[np.bool_]:
        """Clusters with a maximum, (K,)."""
        return (self.most < UNBOUNDED).numpy()

    def bounded(self, prices: Tensor) -> Tensor:
        """The prices (K,), but none below 0 where there is no maximum."""
        return torch.where(self.most < UNBOUNDED, prices, prices.clamp(min=0.0))

    def value(self, prices: Tensor) -> float:
        """What prices (K,) grant to labels that keep the bounds at least: sum of p+ least - p- most."""
        return float(prices.clamp(min=0.0) @ self.least.to(prices) + prices.clamp(max=0.0) @ self.most.to(prices))

    def shifted(self, prices: Tensor, num_rows: int) -> Tensor:
        """Prices (K,) with the constant added that makes the bound by weak duality on `num_rows` rows tightest.

        A constant changes no label. As it falls, prices pass zero in ascending order; it stops where the rows that minimums of
        positive prices and maximums of negative ones ask for no longer leave any over.
        """
        ordered, order = prices.sort(descending=True)
        least, most = self.least[order].to(prices), self.most[order].to(prices)
        above = least.cumsum(0) - least  # minimums of those with a higher price
        below = most.flip(0).cumsum(0).flip(0)  # maximums of those that are no higher
        place = int((above + below >= num_rows).nonzero()[-1, 0])
        return prices - ordered[place]

    def imbalance(self, counts: Tensor, prices: Tensor) -> Tensor:
        """Rows (K,) that each cluster of these sizes lacks (positive) or has too many (negative): as its price wants it."""
        least = torch.where(prices < 0, self.most, self.least)
        most = torch.where(prices > 0, self.least, self.most)
        return (least - counts).clamp(min=0) - (counts - most).clamp(min=0)
