"""Prices near the best ones for bounds on sizes: a search on each row's best few clusters, before the exact solution.

Shapes: n rows, K clusters.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import Similarities, pieces, priced_labels
from algos.kmeans.constrained_kmeans import assign

CANDIDATES = 16  # clusters a row that price search considers
ROUNDS, STEPS = 6, 60  # of price search: passes over all similarities, steps over the candidates in between


class Start(NamedTuple):
    """Rows out of place in the argmax labels (n,) under prices (K,); of two starts that with fewer is the better one."""

    misplaced: int
    labels: Tensor
    prices: Tensor

    @classmethod
    def of(cls, labels: Tensor, prices: Tensor, bounds: SizeBounds) -> Start:
        """The start from these labels and prices."""
        return cls(misplaced(labels, prices, bounds), labels, prices)

    def or_better(self, other: Start) -> Start:
        """This one, unless the other is better."""
        return other if other.misplaced < self.misplaced else self


def search_prices(similarities: Similarities, labels: Tensor, prices: Tensor, bounds: SizeBounds) -> tuple[Tensor, Tensor]:
    """Prices near the optimum and the argmax labels under them: the fewer rows are out of place, the fewer paths follow.

    Each round adapts the prices on the best few clusters of each row; one pass then finds these anew, and the labels with them.
    """
    best, num_rows = Start.of(labels, prices, bounds), len(labels)
    if best.misplaced > num_rows // 10:  # prices far off mislead the search; none at all are then the better start
        prices = torch.zeros_like(prices)
        best = best.or_better(Start.of(priced_labels(similarities, num_rows, prices)[0], prices, bounds))
    few = min(len(prices), num_rows // len(prices))  # paths for so few rows cost no more than a round
    lists = candidates(similarities, num_rows, prices) if best.misplaced > few else None
    for _ in range(ROUNDS):
        if lists is None or best.misplaced <= few:
            break
        prices = adapt_prices(*lists, prices, bounds)
        lists = candidates(similarities, num_rows, prices)
        best = best.or_better(Start.of(lists[1][:, 0].clone(), prices, bounds))  # a view would keep the lists
    return best.labels, best.prices


def misplaced(labels: Tensor, prices: Tensor, bounds: SizeBounds) -> int:
    """Rows that are lacking or too many somewhere, or held or kept out by a price."""
    return int(bounds.imbalance(labels.bincount(minlength=len(prices)), prices).abs().sum())


def candidates(similarities: Similarities, num_rows: int, prices: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities and indices of each row's best clusters under the prices, the best first, both (n, CANDIDATES)."""
    clusters, width = torch.arange(len(prices)), min(CANDIDATES, len(prices))
    values, indices = torch.empty(num_rows, width, dtype=torch.float64), torch.empty(num_rows, width, dtype=torch.int64)
    for piece in pieces(torch.arange(num_rows), len(prices)):
        priced, indices[piece] = (similarities(piece, clusters) + prices).topk(width, dim=1)
        values[piece] = priced - prices[indices[piece]]
    return values, indices


def adapt_prices(values: Tensor, indices: Tensor, prices: Tensor, bounds: SizeBounds) -> Tensor:
    """Prices (K,) with the least imbalance met in sign-based steps that each cluster shortens when its sign turns.

    `values` and `indices` (n, C) are those of `candidates`. Clusters that few lists hold lack rows whatever their price; no price
    rises by more than the median lead of a list's first cluster over its last, beyond which a cluster would win most rows
    unseen.

    Source of the step rule: Riedmiller and Braun, A direct adaptive method (RPROP), ICNN 1993.
    """
    longest = values.std().clamp(min=1e-12)
    step, sign = (longest / 100).repeat(len(prices)), torch.zeros_like(prices)
    listed = values + prices[indices]
    lead = (listed[:, 0] - listed[:, -1]).median().clamp(min=longest / 100) if indices.shape[1] < len(prices) else torch.inf
    highest = prices + lead
    best, least = prices, torch.tensor(torch.inf)
    for _ in range(STEPS):
        chosen = assign(values + prices[indices])
        labels = indices.gather(1, chosen[:, None])[:, 0]
        lacking = bounds.imbalance(labels.bincount(minlength=len(prices)), prices)
        if lacking.abs().sum() < least:
            best, least = prices, lacking.abs().sum()
        turned = sign * lacking.sign()
        step = torch.where(turned > 0, step * 1.2, torch.where(turned < 0, step / 2, step)).clamp(max=longest)
        sign = lacking.sign().double()
        moved = torch.minimum(prices + step * sign, highest)
        prices = bounds.bounded(torch.where(moved * prices < 0, 0.0, moved))  # another bound begins at zero
        prices = bounds.shifted(prices, len(values))
    return best
