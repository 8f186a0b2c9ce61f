"""Prices near the best ones for bounds on sizes: a search on each row's best few clusters, before the exact solution.

Shapes: n rows, K clusters, C listed clusters of a row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import Similarities, best_clusters, pieces
from algos.exact.smooth_dual import SmoothDual

CANDIDATES = 16  # clusters a row that price search considers
ROUNDS = 6  # of price search, each with a pass over all similarities
SAMPLED_ROWS, SAMPLED = 16, 1 << 22  # rows a cluster, and similarities in all, of the first search where prices are far off
SETTLED = 0.8  # of the rows out of place that a round has to leave out of place for the search to end
WIDEST = 24  # width of the first smoothing: one over this of a list's span


class Lists(NamedTuple):
    """Similarities and indices of rows' best clusters under some prices, the best first, both (n, C).

    `limits` (n,) are what no other cluster's similarity and price exceed together.
    """

    values: Tensor
    indices: Tensor
    limits: Tensor


class Start(NamedTuple):
    """Lists under prices (K,) whose first clusters leave so many rows out of place; the fewer, the fewer paths follow."""

    misplaced: int
    lists: Lists
    prices: Tensor

    @classmethod
    def of(cls, similarities: Similarities, num_rows: int, prices: Tensor, bounds: SizeBounds) -> Start:
        """The start from these prices: one pass over all similarities."""
        lists = candidates(similarities, num_rows, prices)
        return cls(misplaced(lists.indices[:, 0], prices, bounds), lists, prices)


def search_prices(similarities: Similarities, start: Start, bounds: SizeBounds, rough: Similarities | None = None) -> Start:
    """Prices near the optimum, and lists under them.

    Each round adapts the prices on the best few clusters of each row; one pass then finds these anew. Prices far off make others
    the best ones: a search on a sample of rows, with longer lists, goes before. `rough` similarities, if given, serve for it all,
    but not for the lists that are returned.
    """
    rough, first = rough or similarities, start
    best, num_rows, num_clusters = start, len(start.lists.values), len(start.prices)
    few = min(num_clusters // 2, num_rows // 50)  # paths for so few rows cost less than a round
    for number in range(ROUNDS):
        if best.misplaced <= few:
            break
        if number == 0 and best.misplaced > num_rows // 20 and num_clusters > CANDIDATES:
            start = best = from_sample(rough, start, bounds)
        prices = adapt_prices(start.lists, start.prices, bounds)
        start, before = Start.of(rough, num_rows, prices, bounds), start
        best = min(best, start, key=lambda each: each.misplaced)
        if start is best and start.misplaced > SETTLED * before.misplaced:
            break
    if best is first or rough is similarities:
        return best
    return min(first, Start.of(similarities, num_rows, best.prices, bounds), key=lambda each: each.misplaced)


def misplaced(labels: Tensor, prices: Tensor, bounds: SizeBounds) -> int:
    """Rows that are lacking or too many somewhere, or held or kept out by a price."""
    return int(bounds.imbalance(labels.bincount(minlength=len(prices)), prices).abs().sum())


def candidates(
    similarities: Similarities, num_rows: int, prices: Tensor, *, rows: Tensor | None = None, width: int = CANDIDATES
) -> Lists:
    """The best clusters of all rows, or of some, under the prices."""
    rows, clusters, width = torch.arange(num_rows) if rows is None else rows, torch.arange(len(prices)), min(width, len(prices))
    lists = list[Lists]()
    for piece in pieces(rows, len(prices)):
        found = similarities(piece, clusters)
        priced = found + prices.to(found.dtype)
        indices = best_clusters(priced, width)
        last = priced.gather(1, indices[:, -1:])[:, 0]
        limits = last if width < len(prices) else torch.full_like(last, -torch.inf)
        lists.append(Lists(found.gather(1, indices), indices, limits))
    return Lists(*(torch.cat(column) for column in zip(*lists, strict=True)))


def from_sample(similarities: Similarities, start: Start, bounds: SizeBounds) -> Start:
    """A better start, with prices that suit a sample of the rows with long lists, or the same one.

    A cluster that few of the sample list may ask for any price, and then win rows that do not list it: prices are also sought
    within the reach of the lists, and those that leave fewer of the sample's rows out of place are tried on all.
    """
    num_rows, prices = len(start.lists.values), start.prices
    count = min(num_rows, SAMPLED_ROWS * len(prices))
    rows = torch.randperm(num_rows, generator=torch.Generator().manual_seed(0))[:count].sort().values
    lists = candidates(similarities, num_rows, prices, rows=rows, width=max(SAMPLED // count, CANDIDATES))
    ways = (True, False) if lists.values.shape[1] < len(prices) else (True,)  # there is no reach where all clusters are listed
    adapted = [adapt_prices(lists, prices, bounds, share=count / num_rows, widest=WIDEST / 6, free=free) for free in ways]
    sampled = SizeBounds(*(each * count // num_rows for each in bounds))
    labels = (candidates(similarities, num_rows, each, rows=rows, width=1).indices[:, 0] for each in adapted)
    off = [misplaced(mine, each, sampled) for mine, each in zip(labels, adapted, strict=True)]
    found = Start.of(similarities, num_rows, adapted[off.index(min(off))], bounds)
    return min(start, found, key=lambda each: each.misplaced)


def adapt_prices(
    lists: Lists, prices: Tensor, bounds: SizeBounds, *, share: float = 1.0, widest: float = WIDEST, free: bool = False
) -> Tensor:
    """Prices (K,) with sizes near the bounds on these lists, see `algos.exact.smooth_dual`.

    Clusters that few lists hold lack rows whatever their price; no price moves by more than the median lead of a list's first
    cluster over its 16th, beyond which a cluster would win most rows unseen - unless all clusters are listed, or prices are to be
    `free`. Lists of a `share` of all rows want that share of the sizes.
    """
    values, indices, _ = lists
    listed = values + prices[indices]
    last = min(CANDIDATES, listed.shape[1]) - 1
    lead = max(
        float((listed.amax(dim=1) - listed[:, : last + 1].amin(dim=1)).median()),
        float(values.std()) / 100 if len(values) > 1 else 0.0,
        1e-12,
    )
    reach = np.full(len(prices), np.inf if free or values.shape[1] == len(prices) else lead)
    dual = SmoothDual(
        values, indices, bounds.least.numpy() * share, bounds.most.numpy() * share,
        np.maximum(prices.numpy() - reach, np.where(bounds.bounded_above, -np.inf, 0.0)), prices.numpy() + reach,
    )  # fmt: skip
    narrowest = max(lead * len(prices) / len(values) / 8, lead * 1e-6)
    found = torch.from_numpy(dual.minimum(prices.numpy(), lead / widest, narrowest / share))
    return bounds.bounded(bounds.shifted(found, round(len(values) / share)))
