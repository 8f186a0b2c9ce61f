"""A min-cost flow of rows between clusters, from labels that are the best for their sizes to labels of minimum sizes.

The flow runs over K + 1 nodes: the clusters, and a *pool* that counts the rows above the minimum. The arc k -> l costs what the
cheapest member of k loses in l; a row that moves changes the arcs of two clusters only. Rows go along shortest paths from nodes
that hold too many to those that lack rows (successive shortest paths, of all such nodes at once: Ahuja, Magnanti, Orlin, Network
Flows, 1993, sections 9.7 and 9.8).

Shapes: n rows, K clusters.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.exact.shortest_paths import Arc, all_distances, shortest_paths, trace
from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import Similarities, pieces


class ClusterFlow:
    """Members, arc costs and prices of the clusters; node K is the pool of rows above the minimum.

    Invariant: `prices[l] - prices[k] <= costs[k, l]` on every arc, that is, no single move pays.

    Args:
        similarities: as in `repair_sizes`.
        labels: (n,) an argmax under the prices.
        prices: (K,) zero or more.
        bounds: of the sizes.
    """

    def __init__(self, similarities: Similarities, labels: Tensor, prices: Tensor, bounds: SizeBounds) -> None:
        self.similarities = similarities
        self.num_rows, self.pool = len(labels), len(prices)
        counts = labels.bincount(minlength=self.pool)
        self.members = list(labels.argsort(stable=True).split(counts.tolist()))
        self.prices = torch.cat([prices, prices.new_zeros(1)])
        self.room = bounds.most - bounds.least
        # A price on a bound that is not tight is not optimal: with one, a cluster counts none of its room in the pool, or all.
        self.spare = (counts - bounds.least).clamp(min=0).minimum(self.room)
        self.spare = torch.where(prices > 0, 0, torch.where(prices < 0, self.room, self.spare))
        surplus = self.spare.sum() - (len(labels) - bounds.least.sum())
        self.excess = torch.cat([counts - bounds.least - self.spare, surplus[None]])
        self.costs = prices.new_full((self.pool + 1, self.pool + 1), torch.inf)
        self.movers = torch.full((self.pool + 1, self.pool + 1), -1)
        self._open_pool()
        for cluster in range(self.pool):
            self._price_arcs(cluster, self.members[cluster], torch.arange(self.pool))

    def run(self) -> int:
        """Move rows until every cluster has its minimum at optimal prices; returns how many moved."""
        moves = 0
        while bool((self.excess > 0).any()):
            for path in self._shortest_paths():
                moves += self._send(path) if self._is_open(path) else 0
        return moves

    def labels(self) -> Tensor:
        """Cluster of each row, (n,) int64."""
        labels = torch.empty(self.num_rows, dtype=torch.int64)
        sizes = torch.tensor([len(rows) for rows in self.members])
        labels[torch.cat(self.members)] = torch.arange(self.pool).repeat_interleave(sizes)
        return labels

    def central_prices(self) -> Tensor:
        """Optimal prices (K,) away from the ties that the last moves left, so that the labels are a strict argmax.

        The optimal prices form a polytope whose corners are the distances from each node; their mean lies inside it.
        """
        distances = all_distances(self._reduced(torch.arange(self.pool + 1)).fill_diagonal_(0.0))
        from_nodes = distances[distances[:, :-1].isfinite().all(dim=1)]
        from_nodes = from_nodes[from_nodes[:, -1].isfinite()] if bool(from_nodes[:, -1].isfinite().any()) else from_nodes[:, :-1]
        return self.prices[:-1] + (from_nodes - from_nodes[:, -1:]).mean(dim=0)[: self.pool]

    def _reduced(self, nodes: Tensor) -> Tensor:
        """Costs of the arcs from the nodes after the prices, never below zero but by rounding."""
        return (self.costs[nodes] + self.prices[nodes, None] - self.prices).clamp(min=0.0)

    def _shortest_paths(self) -> list[list[Arc]]:
        """For each node that lacks rows, nearest first, the way from the nearest with excess; moves the prices by the distances.

        After that every arc of a path has no cost left, so rows may go along all paths whose arcs stay as they are.
        """
        lacking = self.excess < 0
        distance, parent = shortest_paths(self._reduced, self.excess > 0, lacking)
        self.prices += distance.clamp(max=float(distance[lacking].max()))
        self.prices -= self.prices[-1].clone()
        goals = lacking.nonzero()[:, 0]
        before, costs = parent.tolist(), self.costs[parent, torch.arange(len(parent))].tolist()
        return [trace(goal, before, costs) for goal in goals[distance[goals].argsort()].tolist()]

    def _is_open(self, path: list[Arc]) -> bool:
        """Whether the path still starts at a node with excess and none of its arcs has changed."""
        return bool(self.excess[path[0].source] > 0) and all(
            float(self.costs[arc.source, arc.target]) == arc.cost for arc in path
        )

    def _send(self, path: list[Arc]) -> int:
        """Move one row along each arc of the path; returns how many moved."""
        arcs = [(arc.source, arc.target) for arc in path]
        for source, target in arcs:
            if target == self.pool:
                self.spare[source] += 1
            elif source == self.pool:
                self.spare[target] -= 1
        self.excess[path[0].source] -= 1
        self.excess[path[-1].target] += 1
        self._open_pool()
        moved = [
            (source, target, self.movers[source, target].clone()) for source, target in arcs if self.pool not in {source, target}
        ]
        for source, _, row in moved:
            self.members[source] = self.members[source][self.members[source] != row]
            stale = (self.movers[source, :-1] == row).nonzero()[:, 0]
            self.costs[source, stale] = torch.inf
            self._price_arcs(source, self.members[source], stale)
        for _, target, row in moved:
            self.members[target] = torch.cat([self.members[target], row[None]])
            self._price_arcs(target, row[None], torch.arange(self.pool))
        return len(moved)

    def _open_pool(self) -> None:
        """Arcs into the pool from clusters with room, and back from those that count rows there."""
        self.costs[:-1, self.pool] = torch.where(self.spare < self.room, 0.0, torch.inf)
        self.costs[self.pool, :-1] = torch.where(self.spare > 0, 0.0, torch.inf)

    def _price_arcs(self, cluster: int, rows: Tensor, targets: Tensor) -> None:
        """Lower the costs from a cluster to the targets to the cheapest of these members."""
        asked = torch.cat([targets, torch.tensor([cluster])])
        for piece in pieces(rows, len(asked)):
            values = self.similarities(piece, asked)
            loss, cheapest = (values[:, -1:] - values[:, :-1]).min(dim=0)
            cheaper = (loss < self.costs[cluster, targets]) & (targets != cluster)
            self.costs[cluster, targets[cheaper]] = loss[cheaper]
            self.movers[cluster, targets[cheaper]] = piece[cheapest[cheaper]]
