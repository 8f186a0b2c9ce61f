"""A min-cost flow of rows between clusters, from labels that are the best for their sizes to labels within bounds.

The flow runs over the clusters and a *pool* that counts the rows above the minimums, along arcs of listed entries alone: a row of
one cluster that has another on its list. Rows go along shortest paths from nodes that hold too many to those that lack rows: the
primal-dual method, in which every round sends as much as the paths without reduced cost carry (Ahuja, Magnanti, Orlin, Network
Flows, 1993, section 9.8). Only entries near a border can be on such a path, so a round looks at these.

Shapes: n rows, K clusters, E entries, A of them near a border.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import dijkstra, maximum_flow

from algos.exact.entries import Entries, Indices, Numbers
from algos.exact.pair_arcs import PairArcs
from algos.exact.signed_prices import SizeBounds

NEAR = 32  # entries a cluster that the first rounds look at, and those of four times as many when no path is left
EACH, MANY = 17, 1 << 16  # of many costs one in so many tells what the lowest are: a prime that no list is long
ROUNDING = 1e-13  # of the largest similarity: what counts as no reduced cost


class RowFlow:
    """Labels and prices of the clusters; node K is the pool of rows above the minimums.

    Invariant: no entry's reduced cost, `own + price - (value + price there)`, is below zero but by rounding; and with a price,
    a cluster counts none of its room in the pool, without a negative one not all of it.

    Args:
        entries: lists that hold each row's label.
        labels: (n,) an argmax of the listed similarities plus prices.
        own: (n,) the similarities of the labels.
        prices: (K,) signed.
        bounds: of the sizes.
    """

    def __init__(self, entries: Entries, labels: Indices, own: Numbers, prices: Numbers, bounds: SizeBounds) -> None:
        self.entries, self.labels, self.own = entries, labels, own
        self.least, self.room, self.pool = bounds.least.numpy(), (bounds.most - bounds.least).numpy(), len(prices)
        self.prices = np.append(prices, 0.0)
        self.moves = 0
        self.tolerance = ROUNDING * max(float(np.abs(own).max(initial=0.0)), float(np.abs(prices).max()), 1e-300)
        self.count()

    def count(self) -> None:
        """Take up labels that changed: what nodes hold too many (positive) or lack, and rows of the pool."""
        surplus, prices = np.bincount(self.labels, minlength=self.pool) - self.least, self.prices[:-1]
        self.spare = np.minimum(surplus.clip(min=0), self.room)
        self.spare = np.where(prices > self.tolerance, 0, np.where(prices < -self.tolerance, self.room, self.spare))
        in_pool = self.spare.sum() - (len(self.labels) - self.least.sum())
        self.excess = np.append(surplus - self.spare, in_pool)

    def reduced(self, entries: Entries) -> Numbers:
        """What rows lose in these clusters after the prices, (E,)."""
        loss: Numbers = (self.own + self.prices[self.labels])[entries.rows]
        loss -= entries.values
        loss -= self.prices[entries.clusters]
        return loss

    def run(self) -> NDArray[np.bool_]:
        """Move rows until every cluster is within its bounds, or no path leads on; returns nodes (K + 1,) then out of reach."""
        wanted = NEAR * (self.pool + 1)
        while self.excess.any():
            near, reach = self.near(wanted)
            if not self._send_within(near, reach):
                if reach == np.inf:
                    distance: Numbers = dijkstra(
                        self._graph(self._pairs(near)), indices=np.flatnonzero(self.excess > 0), min_only=True
                    )
                    return np.array(distance == np.inf)
                wanted *= 4
        return np.zeros(self.pool + 1, dtype=bool)

    def near(self, wanted: int) -> tuple[Entries, float]:
        """About so many entries of the lowest reduced costs, and the cost above which others lie."""
        if wanted + len(self.labels) >= len(self.entries.rows):
            return self.entries, np.inf
        costs = self.reduced(self.entries).clip(min=0.0)
        each = EACH if len(costs) > MANY else 1
        place = (wanted + len(self.labels)) // each  # each row has one of cost 0
        reach = float(np.partition(costs[::each], place)[place])
        rows = np.zeros(len(self.labels), dtype=bool)
        within = costs <= reach
        rows[self.entries.rows[within & (self.entries.clusters != self.labels[self.entries.rows])]] = True
        return self.entries.of(within & rows[self.entries.rows]), reach

    def take(self, more: Entries) -> None:
        """List more clusters of some rows; a row for which one is better than its label goes there."""
        better = self.reduced(more) < 0
        self.entries = self.entries.with_more(more)
        rows = more.rows[better]
        self.labels[rows], self.own[rows] = more.clusters[better], more.values[better]
        self.count()

    def slack(self) -> sparse.csr_matrix:
        """By how much the price of an arc's target may rise against its source's, of all arcs, (K + 1, K + 1)."""
        return self._graph(self._pairs(self.entries))

    def _pairs(self, near: Entries) -> PairArcs:
        return PairArcs(near, self.labels, self.own)

    def _send_within(self, near: Entries, reach: float) -> bool:
        """Rounds over some entries, until none of their paths costs less than others might; returns whether any was found."""
        found, pairs = False, self._pairs(near)
        while (self.excess > 0).any():
            distance = self._distance(pairs, reach)
            reached = (self.excess < 0) & np.isfinite(distance)
            farthest = distance[reached].max() if reached.any() else reach
            if farthest == np.inf:
                break
            self.prices += np.minimum(distance, farthest)
            self.prices -= self.prices[-1]
            reach -= farthest
            if not reached.any():
                break
            pairs.follow(self._send(near.of(pairs.below(self.tolerance, self.prices))), self.labels, self.own)
            found = True
        return found

    def _distance(self, pairs: PairArcs, limit: float = np.inf) -> Numbers:
        """Of each node from those that hold too many, (K + 1,); infinite where it is more."""
        found: Numbers = dijkstra(self._graph(pairs), indices=np.flatnonzero(self.excess > 0), min_only=True, limit=limit)
        return found

    def _graph(self, pairs: PairArcs) -> sparse.csr_matrix:
        """The cheapest arc between each two nodes, (K + 1, K + 1)."""
        filling, emptying = np.flatnonzero(self.spare < self.room), np.flatnonzero(self.spare > 0)
        sources = np.concatenate([pairs.sources, filling, np.full(len(emptying), self.pool)])
        targets = np.concatenate([pairs.targets, np.full(len(filling), self.pool), emptying])
        of_pool = np.concatenate([self.prices[filling], -self.prices[emptying]]).clip(min=0.0)
        costs = np.append(pairs.costs(self.prices), of_pool)
        return sparse.csr_matrix((costs, (sources, targets)), shape=(self.pool + 1,) * 2)

    def _send(self, free: Entries) -> Indices:
        """Move as many rows as arcs without reduced cost carry, those of the entries, each row once; returns which moved."""
        filling = np.flatnonzero((self.spare < self.room) & (self.prices[:-1] <= self.tolerance))
        emptying = np.flatnonzero((self.spare > 0) & (self.prices[:-1] >= -self.tolerance))
        movers, mover = np.unique(free.rows, return_inverse=True)
        nodes = self.pool + 1 + np.arange(len(movers) + 2)
        start, end = nodes[-2:]
        giving, lacking = np.flatnonzero(self.excess > 0), np.flatnonzero(self.excess < 0)
        parts = [
            (self.labels[movers], nodes[:-2], np.ones(len(movers))),
            (nodes[mover], free.clusters, np.ones(len(mover))),
            (filling, np.full(len(filling), self.pool), (self.room - self.spare)[filling]),
            (np.full(len(emptying), self.pool), emptying, self.spare[emptying]),
            (np.full(len(giving), start), giving, self.excess[giving]),
            (lacking, np.full(len(lacking), end), -self.excess[lacking]),
        ]
        tails, heads, most = (np.concatenate(column) for column in zip(*parts, strict=True))
        most = most.clip(max=len(self.labels) + 1).astype(np.int32)
        capacities = sparse.csr_matrix((most, (tails, heads)), shape=(end + 1, end + 1))
        return self._apply(maximum_flow(capacities, start, end).flow.tocoo(), movers, free)

    def _apply(self, flow: sparse.coo_matrix, movers: Indices, free: Entries) -> Indices:
        """Change labels and counts by a flow over clusters, pool, movers, start and end; returns the rows that moved."""
        first, start = self.pool + 1, self.pool + 1 + len(movers)
        tails, heads, amounts = flow.row[flow.data > 0], flow.col[flow.data > 0], flow.data[flow.data > 0]
        moved = (tails >= first) & (tails < start)
        rows: Indices = movers[tails[moved] - first]
        new = heads[moved].astype(np.int64)
        self.labels[rows], self.own[rows] = new, free.value(rows, new, self.pool)
        self.moves += len(rows)
        filled, emptied = (heads == self.pool) & (tails < self.pool), (tails == self.pool) & (heads < self.pool)
        self.spare[tails[filled]] += amounts[filled]
        self.spare[heads[emptied]] -= amounts[emptied]
        self.excess[heads[tails == start]] -= amounts[tails == start]
        self.excess[tails[heads == start + 1]] += amounts[heads == start + 1]
        return rows
