"""What a table's rows are under learned centers and prices: labels, the best of each row or the best in bounds, and distances.

Shapes: n rows, K clusters.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from algos.estimator.geometry import Geometry, similarities_of, split
from algos.estimator.input_rows import Table
from algos.exact.repair_sizes import Repair, repair_sizes
from algos.exact.similarities import in_less_precision
from algos.kmeans.step_arithmetic import assign, priced_similarities


def nearest_labels(table: Table, centers: Tensor, prices: Tensor, geometry: Geometry) -> tuple[Tensor, float]:
    """Argmax labels (n,) int64 under the prices, and their objective.

    Args:
        table: the rows.
        centers: (K, D) as the core has them.
        prices: (K,) likewise; their dtype is that of the comparison.
        geometry: of the rows.

    Returns:
        The labels, and the sum over rows of weight times similarity in the data's units.
    """
    rows = table.rows
    total = torch.zeros((), dtype=torch.float64, device=rows.device)
    # Made at once: pieces of it that stay would keep the memory of what is computed between them from being used again.
    labels = torch.empty(len(rows), dtype=torch.int64, device=rows.device)
    centers, width = centers.to(prices.dtype), max(rows.shape[1], len(centers))
    weights = prices.new_ones(()).expand(len(rows)) if table.weights is None else table.weights
    for piece, mine, counting in zip(split(rows, width), split(labels, width), split(weights, width), strict=True):
        prepared = geometry.to_compare(piece, prices.dtype)
        to = prepared.dtype
        priced = priced_similarities(prepared, centers.to(to), prices.to(to), spherical=geometry.spherical)
        mine.copy_(assign(priced))
        values = priced.gather(1, mine[:, None])[:, 0] - prices[mine]
        total += ((values - geometry.half_squares(prepared)) * counting).sum(dtype=torch.float64)
    return labels, float(total) * geometry.scale**2


def center_distances(rows: Tensor, centers: Tensor, geometry: Geometry) -> Tensor:
    """Distances (n, K) of rows (n, D) to the core's centers (K, D): Euclidean ones in the data's units, or 1 - cosine."""
    parts = []
    for piece in split(rows, len(centers)):
        prepared = geometry.to_compare(piece, centers.dtype)
        mine = centers.to(prepared.dtype)
        if geometry.spherical:
            near = 1 - prepared @ mine.T
        else:  # by differences, for in products those of near rows are lost
            near = torch.cdist(prepared, mine, compute_mode="donot_use_mm_for_euclid_dist") * geometry.scale
        parts.append(near.clamp(min=0.0).to(rows.dtype))
    return torch.cat(parts)


def bounded_labels(
    rows: Tensor, centers: Tensor, prices: Tensor, geometry: Geometry, least: float, most: float, unit: float
) -> Repair:
    """Labels (n,) that keep both bounds, with prices as the core has them and all else in the data's units.

    Args:
        rows: (n, D) of the data.
        centers: (K, D) as the core has them.
        prices: (K,) likewise, where the search starts.
        geometry: of the rows.
        least: rows that a cluster is to have, in weight.
        most: that it may have, in weight; infinity for no maximum.
        unit: weight of each row.
    """
    greatest = None if most == math.inf else round(most / unit)
    similarities = similarities_of(rows, centers, geometry)
    rough = in_less_precision(similarities, centers.dtype)
    found = repair_sizes(similarities, len(rows), prices, round(least / unit), greatest, rough)
    prepared = (geometry.prepare(piece.double()) for piece in split(rows, rows.shape[1]))
    squares = float(torch.stack([geometry.half_squares(piece).sum() for piece in prepared]).sum())
    unit = geometry.scale**2 * unit
    return replace(found, objective=(found.objective - squares) * unit, cost=found.cost * unit, gap=found.gap * unit)
