"""Labels whose clusters really keep bounds on their sizes, at the least loss of similarity, for fixed centers.

Prices alone leave clusters a few rows short. The exact labels are the optimum of a linear program with n x K unknowns; here
the argmax under prices, which is optimal for the sizes that it has, is the start of a min-cost flow over the clusters alone
(see `algos.exact.min_cost_flow`), whose potentials are the optimal prices.

Shapes: n rows, K clusters. Similarities are asked for in pieces, never all n x K at once.
Source of the problem: Qian et al., CVPR 2022, section 3.2, equation 4 with fixed centers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from algos.exact.min_cost_flow import ClusterFlow
from algos.exact.price_search import search_prices
from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import Similarities, bound_objective, priced_labels


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
    similarities: Similarities, num_rows: int, prices: Tensor, min_size: int | Tensor, max_size: int | Tensor | None = None
) -> Repair:
    """Best labels with at least `min_size` and at most `max_size` rows in every cluster.

    Time: 3 passes over all similarities, up to 2 + `ROUNDS` for the search for prices, O(K^3) once, then for each search for
    paths O(K^2) a hop and for each path the similarities of its clusters' members. The prices keep paths few.
    Memory: O(n CANDIDATES + K^2 + PIECE) numbers.

    Args:
        similarities: a function of row indices (b,) and cluster indices (c,) that returns (b, c) float64 on the CPU.
        num_rows: n.
        prices: (K,) where the search starts, such as the duals of online constrained k-means.
        min_size: least rows of a cluster, one for all or (K,) int64.
        max_size: most rows, likewise; `None` for no bound.

    Returns:
        The labels, their prices, cost and optimality gap.

    Raises:
        ValueError: if a minimum exceeds its maximum, the minimums together exceed n, or the maximums together are below n.
    """
    bounds = SizeBounds.of(min_size, max_size, len(prices))
    flow, before, moves = optimal_flow(similarities, num_rows, prices, bounds)
    labels, prices = flow.labels(), bounds.bounded(flow.central_prices())
    objective, bound = bound_objective(similarities, labels, prices, bounds)
    return Repair(labels, prices, objective, before - objective, max(bound - objective, 0.0), moves)


def optimal_flow(similarities: Similarities, num_rows: int, prices: Tensor, bounds: SizeBounds) -> tuple[ClusterFlow, float, int]:
    """The flow behind `repair_sizes`, at its optimum; total similarity of the argmax under the prices given; rows moved.

    Raises:
        ValueError: as `repair_sizes`.
    """
    bounds.require(num_rows)
    prices = bounds.shifted(prices.double().cpu(), num_rows)
    labels, before = priced_labels(similarities, num_rows, prices)
    flow = ClusterFlow(similarities, *search_prices(similarities, labels, prices, bounds), bounds)
    return flow, before, flow.run()
