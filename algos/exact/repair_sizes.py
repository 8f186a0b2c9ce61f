"""Labels whose clusters really keep bounds on their sizes, at the least loss of similarity, for fixed centers.

Prices alone leave clusters a few rows short or over. The exact labels are the optimum of a linear program with n x K unknowns;
here the argmax under prices, which is optimal for the sizes that it has, is the start of a min-cost flow over the clusters alone
(see `algos.exact.row_flow`), whose potentials are the optimal prices. The flow looks at each row's best few clusters; a proof
over all similarities under its prices then shows whether another cluster would have been better for some row: that one is listed
too and the flow goes on (column generation), until there is none.

Shapes: n rows, K clusters, E entries. Similarities are asked for in pieces, never all n x K at once.
Source of the problem: Qian et al., CVPR 2022, section 3.2, equation 4 with fixed centers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algos.exact.entries import Entries
from algos.exact.middle_prices import middle_prices
from algos.exact.price_search import Start, search_prices
from algos.exact.row_flow import RowFlow
from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import SIMILARITIES_HELD, Similarities, pieces

SPARE = 16  # rows listed for a cluster that no path reaches, or four times what any such cluster lacks


@dataclass(frozen=True)
class Repair:
    """Exact labels and what they cost.

    Attributes:
        labels: (n,) int64.
        prices: (K,) float64, positive where a minimum is tight and negative where a maximum is; the labels are an argmax under
            them, a strict one where no rows tie.
        objective: total similarity of the labels.
        cost: total similarity lost against the argmax under the prices given; below zero if clusters that a price had
            kept off their bounds gave rows back or got them.
        gap: by weak duality no labels within these bounds have a total above `objective + gap`; 0 up to rounding.
        moves: rows moved along shortest paths.
    """

    labels: Tensor
    prices: Tensor
    objective: float
    cost: float
    gap: float
    moves: int


def repair_sizes(
    similarities: Similarities,
    num_rows: int,
    prices: Tensor,
    min_size: int | Tensor,
    max_size: int | Tensor | None = None,
    rough: Similarities | None = None,
) -> Repair:
    """Best labels with at least `min_size` and at most `max_size` rows in every cluster.

    Time: a pass over all similarities for the start, one for each round of the search for prices, one for the lists, and those
    of few rows for the proof; the rest grows with the rows near a border. The prices keep paths few.
    Memory: O(n CANDIDATES + K neighbours + SIMILARITIES_HELD) numbers.

    Args:
        similarities: a function of row indices (b,) and cluster indices (c,) that returns (b, c) float64 on the CPU.
        num_rows: n.
        prices: (K,) where the search starts, such as the duals of online constrained k-means.
        min_size: least rows of a cluster, one for all or (K,) int64.
        max_size: most rows, likewise; `None` for no bound.
        rough: the same at less precision and in less time, for the search of prices.

    Returns:
        The labels, their prices, cost and optimality gap.

    Raises:
        ValueError: if a minimum exceeds its maximum, the minimums together exceed n, or the maximums together are below n.
    """
    bounds = SizeBounds.of(min_size, max_size, len(prices))
    flow, proof, before = optimal_flow(similarities, num_rows, prices, bounds, rough)
    labels, prices = torch.from_numpy(flow.labels), torch.from_numpy(flow.prices[:-1].copy())
    gap = proof.best - bounds.value(prices) - proof.objective
    return Repair(labels, prices, proof.objective, before - proof.objective, max(gap, 0.0), flow.moves)


def optimal_flow(
    similarities: Similarities, num_rows: int, prices: Tensor, bounds: SizeBounds, rough: Similarities | None = None
) -> tuple[RowFlow, Audit, float]:
    """The flow behind `repair_sizes`, at its optimum, the proof, and the total similarity of the argmax under the prices given.

    Raises:
        ValueError: as `repair_sizes`.
    """
    bounds.require(num_rows)
    prices = bounds.shifted(prices.double().cpu(), num_rows)
    start = Start.of(similarities, num_rows, prices, bounds)
    before = float(start.lists.values[:, 0].sum())
    _, lists, prices = search_prices(similarities, start, bounds, rough)
    values, indices, _ = lists
    entries = Entries(np.arange(num_rows).repeat(values.shape[1]), indices.numpy().ravel(), values.numpy().ravel())
    flow = RowFlow(entries, indices[:, 0].numpy().copy(), values[:, 0].numpy().copy(), prices.numpy(), bounds)
    while True:
        lost = flow.run()[:-1]
        if lost.any():
            flow.take(cheapest_into(similarities, flow, lost))
        else:
            flow.prices = middle_prices(flow.slack(), flow.prices)
            flow.prices[:-1] = bounds.bounded(torch.from_numpy(flow.prices[:-1])).numpy()
            proof = proof_of(similarities, flow, lists.limits + (torch.from_numpy(flow.prices[:-1]) - prices).max())
            if not len(proof.better.rows):
                return flow, proof, before
            flow.take(proof.better)


@dataclass(frozen=True)
class Audit:
    """What labels and prices are worth among all similarities.

    Attributes:
        objective: total similarity of the labels.
        best: total of the best priced similarities.
        better: for each row whose label is not the best under the prices, that which is.
    """

    objective: float
    best: float
    better: Entries


def proof_of(similarities: Similarities, flow: RowFlow, limits: Tensor) -> Audit:
    """What a flow's labels and prices are worth among all similarities.

    A row is looked at only where a cluster may be better: one of its list by the flow's reduced costs, or one off it, whose
    similarity and price do not exceed the row's limit (n,).
    """
    labels, own, prices = (torch.from_numpy(each) for each in (flow.labels, flow.own, flow.prices[:-1]))
    held = own + prices[labels]
    sure = limits <= held + 8 * flow.tolerance
    sure[flow.entries.rows[flow.reduced(flow.entries) < -8 * flow.tolerance]] = False
    seen = audit(similarities, labels, prices, flow.tolerance, rows=(~sure).nonzero()[:, 0])
    return Audit(seen.objective + float(own[sure].sum()), seen.best + float(held[sure].sum()), seen.better)


def audit(
    similarities: Similarities, labels: Tensor, prices: Tensor, tolerance: float = 0.0, rows: Tensor | None = None
) -> Audit:
    """Look at all similarities of all rows, or of some, under labels (n,) and prices (K,)."""
    rows, clusters = torch.arange(len(labels)) if rows is None else rows, torch.arange(len(prices))
    none = prices.new_zeros(0)
    achieved, best, found = [none.sum()], [none.sum()], [(rows[:0], rows[:0], none)]
    for piece in pieces(rows, len(prices)):
        values = similarities(piece, clusters)
        own = values.gather(1, labels[piece][:, None])[:, 0]
        top, index = (values + prices).max(dim=1)
        achieved.append(own.sum())
        best.append(top.sum())
        off = (top > own + prices[labels[piece]] + 8 * tolerance).nonzero()[:, 0]
        found.append((piece[off], index[off], values[off, index[off]]))
    better = Entries(*(torch.cat(column).numpy() for column in zip(*found, strict=True)))
    return Audit(float(torch.stack(achieved).sum()), float(torch.stack(best).sum()), better)


def cheapest_into(similarities: Similarities, flow: RowFlow, lost: np.ndarray) -> Entries:
    """For each cluster that no path reaches, the rows of others that lose least by joining it."""
    clusters = torch.from_numpy(np.flatnonzero(lost))
    prices, labels, own = torch.from_numpy(flow.prices), torch.from_numpy(flow.labels), torch.from_numpy(flow.own)
    rows = torch.from_numpy(np.flatnonzero(~lost[flow.labels]))
    width = max(SPARE, min(4 * int(np.abs(flow.excess).max()), SIMILARITIES_HELD // len(clusters)))
    losses, places = torch.empty(0, len(clusters), dtype=torch.float64), torch.empty(0, len(clusters), dtype=torch.int64)
    for piece in pieces(rows, len(prices)):
        priced = similarities(piece, clusters) + prices[clusters]
        losses = torch.cat([losses, (own + prices[labels])[piece, None] - priced])
        places = torch.cat([places, piece[:, None].expand(-1, len(clusters))])
        losses, kept = losses.topk(min(width, len(losses)), dim=0, largest=False)
        places = places.gather(0, kept)
    targets = clusters.expand(len(places), -1)
    values = (own + prices[labels])[places] - losses - prices[clusters]
    return Entries(*(each.reshape(-1).numpy() for each in (places, targets, values)))
