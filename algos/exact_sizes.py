"""Labels whose clusters really reach a minimum size, at the least loss of similarity, for fixed centers.

Prices alone leave clusters a few rows short. The exact labels are the optimum of a linear program with n x K unknowns;
here it is solved as a min-cost flow over K + 1 nodes: the clusters, and a *pool* that counts the rows above the minimum. The arc
k -> l costs what the cheapest member of k loses in l; a row that moves changes the arcs of two clusters only. From the
argmax under prices, which is optimal for the sizes that it has, one row after another goes along a shortest path from a
cluster that holds too many to one that lacks rows (successive shortest paths: Ahuja, Magnanti, Orlin, Network Flows,
1993, section 9.7). Its potentials are the optimal prices.

Shapes: n rows, K clusters. Similarities are asked for in pieces, never all n x K at once.
Source of the problem: Qian et al., CVPR 2022, section 3.2, equation 4 with fixed centers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from algos.constrained_kmeans import assign

# Similarities (rows asked for, clusters asked for) in float64 on the CPU, given indices of rows and of clusters.
Similarities = Callable[[Tensor, Tensor], Tensor]

PIECE = 1 << 22  # similarities held at once: 32 MiB
CANDIDATES = 16  # clusters a row that price search considers
ROUNDS, STEPS = 3, 60  # of price search: passes over all similarities, steps over the candidates in between


@dataclass(frozen=True)
class Repair:
    """Exact labels and what they cost.

    Attributes:
        labels: (n,) int64.
        prices: (K,) float64, zero or more; the labels are an argmax under them, a strict one where no rows tie.
        objective: total similarity of the labels.
        cost: total similarity lost against the argmax under the prices given; below zero if clusters that a price had
            kept above the minimum gave rows back.
        gap: by weak duality no labels of these sizes have a total above `objective + gap`; 0 up to rounding.
        moves: rows moved along shortest paths.
    """

    labels: Tensor
    prices: Tensor
    objective: float
    cost: float
    gap: float
    moves: int


def minimum_rows(min_size_ratio: float, num_rows: int, num_clusters: int) -> int:
    """Least rows of a cluster at a ratio in [0, 1] of the mean size n / K: rounded up, but no more than all clusters can have."""
    wanted = math.ceil(min_size_ratio * num_rows / num_clusters - 1e-9)
    return min(wanted, num_rows // num_clusters)


def repair_sizes(similarities: Similarities, num_rows: int, prices: Tensor, min_size: int | Tensor) -> Repair:
    """Best labels with at least `min_size` rows in every cluster.

    Time: 3 passes over all similarities and 2 for each of up to `ROUNDS` searches for prices, O(K^3) once, then for each path
    O(K^2) a hop and the similarities of members of the clusters on it. The search for prices keeps paths few.
    Memory: O(n CANDIDATES + K^2 + PIECE) numbers.

    Args:
        similarities: a function of row indices (b,) and cluster indices (c,) that returns (b, c) float64 on the CPU.
        num_rows: n.
        prices: (K,) where the search starts, such as the duals of online constrained k-means.
        min_size: least rows of a cluster, one for all or (K,) int64.

    Returns:
        The labels, their prices, cost and optimality gap.

    Raises:
        ValueError: if the minimum sizes together exceed n.
    """
    flow, before, moves = optimal_flow(similarities, num_rows, prices, min_size)
    labels, prices = flow.labels(), flow.central_prices()
    objective, bound = bound_objective(similarities, labels, prices, torch.as_tensor(min_size).expand(len(prices)))
    return Repair(labels, prices, objective, before - objective, max(bound - objective, 0.0), moves)


def optimal_flow(
    similarities: Similarities, num_rows: int, prices: Tensor, min_size: int | Tensor
) -> tuple[ClusterFlow, float, int]:
    """The flow behind `repair_sizes`, at its optimum; total similarity of the argmax under the prices given; rows moved.

    Raises:
        ValueError: as `repair_sizes`.
    """
    min_sizes = torch.as_tensor(min_size).expand(len(prices))
    if min_sizes.sum() > num_rows:
        raise ValueError(f"{len(prices)} clusters need {int(min_sizes.sum())} rows for their minimum sizes; there are {num_rows}")
    prices = prices.double().cpu()
    prices = prices - prices.min()  # a constant added to all changes no label
    labels, before = priced_labels(similarities, num_rows, prices)
    flow = ClusterFlow(similarities, *search_prices(similarities, labels, prices, min_sizes), min_sizes)
    return flow, before, flow.run()


def pieces(rows: Tensor, num_clusters: int) -> Iterator[Tensor]:
    """Row indices in pieces whose similarities fit into `PIECE`."""
    yield from rows.split(max(PIECE // num_clusters, 1)) if len(rows) else ()


def priced_labels(similarities: Similarities, num_rows: int, prices: Tensor) -> tuple[Tensor, float]:
    """Most similar cluster of each row after the prices are added, (n,) int64, and the total similarity of these labels."""
    clusters, total = torch.arange(len(prices)), torch.zeros((), dtype=torch.float64)
    labels = torch.empty(num_rows, dtype=torch.int64)
    for piece in pieces(torch.arange(num_rows), len(prices)):
        values = similarities(piece, clusters)
        labels[piece] = assign(values + prices)
        total += values.gather(1, labels[piece][:, None]).sum()
    return labels, float(total)


def bound_objective(similarities: Similarities, labels: Tensor, prices: Tensor, min_sizes: Tensor) -> tuple[float, float]:
    """Total similarity of the labels, and the Lagrangian bound that no labels with these minimum sizes exceed.

    The bound is sum_i max_k (s_ik + p_k) - sum_k min_size_k p_k; it holds for any prices p >= 0.
    """
    clusters, achieved, best = torch.arange(len(prices)), [], []
    for piece in pieces(torch.arange(len(labels)), len(prices)):
        values = similarities(piece, clusters)
        achieved.append(values.gather(1, labels[piece][:, None]).sum())
        best.append((values + prices).amax(dim=1).sum())
    return float(torch.stack(achieved).sum()), float(torch.stack(best).sum() - (min_sizes * prices).sum())


def imbalance(counts: Tensor, prices: Tensor, min_sizes: Tensor) -> Tensor:
    """Rows that each cluster lacks (positive) or a price keeps above the minimum (negative), (K,)."""
    missing = min_sizes - counts
    return torch.where(prices > 0, missing, missing.clamp(min=0))


def search_prices(similarities: Similarities, labels: Tensor, prices: Tensor, min_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Prices near the optimum and the argmax labels under them: the fewer rows are out of place, the fewer paths follow.

    Each round finds the best few clusters of each row in one pass and adapts the prices on those alone.
    """
    best, least = (labels, prices), misplaced(labels, prices, min_sizes)
    if least > len(labels) // 10:  # prices far off mislead the search; none at all are then the better start
        prices = torch.zeros_like(prices)
        labels, _ = priced_labels(similarities, len(labels), prices)
        best, least = min((best, least), ((labels, prices), misplaced(labels, prices, min_sizes)), key=lambda each: each[1])
    for _ in range(ROUNDS):
        if least <= len(prices):
            break
        prices = adapt_prices(*candidates(similarities, len(labels), prices), prices, min_sizes)
        labels, _ = priced_labels(similarities, len(labels), prices)
        if misplaced(labels, prices, min_sizes) < least:
            best, least = (labels, prices), misplaced(labels, prices, min_sizes)
    return best


def misplaced(labels: Tensor, prices: Tensor, min_sizes: Tensor) -> int:
    """Rows that are lacking somewhere or held by a price."""
    return int(imbalance(labels.bincount(minlength=len(prices)), prices, min_sizes).abs().sum())


def candidates(similarities: Similarities, num_rows: int, prices: Tensor) -> tuple[Tensor, Tensor]:
    """Similarities and indices of each row's best clusters under the prices, both (n, CANDIDATES)."""
    clusters, width = torch.arange(len(prices)), min(CANDIDATES, len(prices))
    values, indices = torch.empty(num_rows, width, dtype=torch.float64), torch.empty(num_rows, width, dtype=torch.int64)
    for piece in pieces(torch.arange(num_rows), len(prices)):
        priced, indices[piece] = (similarities(piece, clusters) + prices).topk(width, dim=1)
        values[piece] = priced - prices[indices[piece]]
    return values, indices


def adapt_prices(values: Tensor, indices: Tensor, prices: Tensor, min_sizes: Tensor) -> Tensor:
    """Prices (K,) with the least imbalance met in sign-based steps that each cluster shortens when its sign turns.

    Source of the step rule: Riedmiller and Braun, A direct adaptive method (RPROP), ICNN 1993.
    """
    longest = values.std().clamp(min=1e-12)
    step, sign = (longest / 100).repeat(len(prices)), torch.zeros_like(prices)
    best, least = prices, torch.tensor(torch.inf)
    for _ in range(STEPS):
        chosen = assign(values + prices[indices])
        labels = indices.gather(1, chosen[:, None])[:, 0]
        lacking = imbalance(labels.bincount(minlength=len(prices)), prices, min_sizes)
        if lacking.abs().sum() < least:
            best, least = prices, lacking.abs().sum()
        turned = sign * lacking.sign()
        step = torch.where(turned > 0, step * 1.2, torch.where(turned < 0, step / 2, step)).clamp(max=longest)
        sign = lacking.sign().double()
        prices = (prices + step * sign).clamp(min=0.0)
        prices = prices - prices.min()  # changes no label, and frees rows above the minimum that prices would hold
    return best


class ClusterFlow:
    """Members, arc costs and prices of the clusters; node K is the pool of rows above the minimum.

    Invariant: `prices[l] - prices[k] <= costs[k, l]` on every arc, that is, no single move pays.

    Args:
        similarities: as in `repair_sizes`.
        labels: (n,) an argmax under the prices.
        prices: (K,) zero or more.
        min_sizes: (K,) least rows of each cluster.
    """

    def __init__(self, similarities: Similarities, labels: Tensor, prices: Tensor, min_sizes: Tensor) -> None:
        self.similarities = similarities
        self.num_rows, self.pool = len(labels), len(prices)
        counts = labels.bincount(minlength=self.pool)
        self.members = list(labels.argsort(stable=True).split(counts.tolist()))
        self.prices = torch.cat([prices, prices.new_zeros(1)])
        # Only a cluster without a price may count rows in the pool: a price on a bound that is not tight is not optimal.
        self.spare = torch.where(prices > 0, 0, (counts - min_sizes).clamp(min=0))
        self.excess = torch.cat([counts - min_sizes - self.spare, (self.spare.sum() - (len(labels) - min_sizes.sum()))[None]])
        self.costs = prices.new_full((self.pool + 1, self.pool + 1), torch.inf)
        self.movers = torch.full((self.pool + 1, self.pool + 1), -1)
        self.costs[: self.pool, self.pool] = 0
        self.costs[self.pool, : self.pool] = torch.where(self.spare > 0, 0.0, torch.inf)
        for cluster in range(self.pool):
            self._price_arcs(cluster, self.members[cluster], torch.arange(self.pool))

    def run(self) -> int:
        """Move rows until every cluster has its minimum at optimal prices; returns how many moved."""
        moves = 0
        while bool((self.excess > 0).any()):
            moves += self._send(self._shortest_path())
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
        distances = self._reduced(torch.arange(self.pool + 1)).fill_diagonal_(0.0)
        for node in range(self.pool + 1):
            torch.minimum(distances, distances[:, node, None] + distances[node], out=distances)
        from_nodes = distances[distances[:, :-1].isfinite().all(dim=1)]
        return (self.prices + (from_nodes - from_nodes[:, -1:]).mean(dim=0))[:-1].clamp(min=0.0)

    def _reduced(self, nodes: Tensor) -> Tensor:
        """Costs of the arcs from the nodes after the prices, never below zero but by rounding."""
        return (self.costs[nodes] + self.prices[nodes, None] - self.prices).clamp(min=0.0)

    def _shortest_path(self) -> list[int]:
        """Nodes from one with excess to the nearest that lacks rows; moves the prices by the distances."""
        distance = torch.where(self.excess > 0, 0.0, torch.inf).double()
        parent = torch.full_like(self.movers[0], -1)
        lacking = self.excess < 0
        frontier = (self.excess > 0).nonzero()[:, 0]
        while len(frontier):
            reached, via = (self._reduced(frontier) + distance[frontier, None]).min(dim=0)
            nearest = distance[lacking].min()
            better = (reached < distance) & (reached < nearest)
            distance = torch.where(better, reached, distance)
            parent = torch.where(better, frontier[via], parent)
            frontier = better.nonzero()[:, 0]
        goal = int(torch.where(lacking, distance, torch.inf).argmin())
        self.prices += distance.clamp(max=float(distance[goal]))
        self.prices -= self.prices[-1].clone()
        return self._trace(goal, parent.tolist())

    @staticmethod
    def _trace(goal: int, parent: list[int]) -> list[int]:
        path = [goal]
        while parent[path[-1]] >= 0:
            path.append(parent[path[-1]])
        return path[::-1]

    def _send(self, path: list[int]) -> int:
        """Move one row along each arc of the path; returns how many moved."""
        arcs = list(itertools.pairwise(path))
        for source, target in arcs:
            if target == self.pool:
                self.spare[source] += 1
            elif source == self.pool:
                self.spare[target] -= 1
        self.excess[path[0]] -= 1
        self.excess[path[-1]] += 1
        self.costs[self.pool, :-1] = torch.where(self.spare > 0, 0.0, torch.inf)
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

    def _price_arcs(self, cluster: int, rows: Tensor, targets: Tensor) -> None:
        """Lower the costs from a cluster to the targets to the cheapest of these members."""
        asked = torch.cat([targets, torch.tensor([cluster])])
        for piece in pieces(rows, len(asked)):
            values = self.similarities(piece, asked)
            loss, cheapest = (values[:, -1:] - values[:, :-1]).min(dim=0)
            cheaper = (loss < self.costs[cluster, targets]) & (targets != cluster)
            self.costs[cluster, targets[cheaper]] = loss[cheaper]
            self.movers[cluster, targets[cheaper]] = piece[cheapest[cheaper]]
