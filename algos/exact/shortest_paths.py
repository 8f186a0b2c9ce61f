"""Shortest paths in a dense graph whose arcs cost zero or more; inf is no arc.

Shapes: V nodes. Everything is computed on whole rows of arcs, so a hop over thousands of nodes is a few tensor operations. Not
scipy's: to it an arc of cost zero in a dense graph is none, and after prices many arcs cost zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

TILE = 64  # nodes whose rows of arcs stay in the cache of a CPU while paths go by way of 64 others


def shortest_paths(arcs_from: Callable[[Tensor], Tensor], sources: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest source of every target, and the way from there.

    Source: Bellman, On a routing problem, 1958; a hop goes on from those nodes alone that the last hop brought nearer.

    Args:
        arcs_from: returns the costs (F, V) of the arcs from some nodes (F,).
        sources: (V,) bool.
        targets: (V,) bool; each must be within reach.

    Returns:
        The distances (V,), right up to that of the farthest target, and each node's predecessor (V,), -1 for a source.
    """
    arcs = arcs_from(frontier := sources.nonzero()[:, 0])
    distance = torch.where(sources, 0.0, torch.inf).to(arcs)
    parent = torch.full_like(distance, -1, dtype=torch.int64)
    while len(frontier):
        reached, via = (arcs + distance[frontier, None]).min(dim=0)
        better = (reached < distance) & (reached < distance[targets].max())
        distance = torch.where(better, reached, distance)
        parent = torch.where(better, frontier[via], parent)
        arcs = arcs_from(frontier := better.nonzero()[:, 0])
    return distance, parent


class Arc(NamedTuple):
    """An arc of a path, and its cost when the path was found."""

    source: int
    target: int
    cost: float


def trace(goal: int, parent: list[int], costs: list[float]) -> list[Arc]:
    """The path to `goal`; `costs` are those of the arcs from each node's parent."""
    path = []
    while parent[goal] >= 0:
        path.append(Arc(parent[goal], goal, costs[goal]))
        goal = parent[goal]
    return path[::-1]


def all_distances(arcs: Tensor) -> Tensor:
    """Shortest distances (V, V) between all nodes, from the costs of the arcs (V, V), which it overwrites.

    Source: Floyd, Algorithm 97, 1962, some rows at a time.
    """
    for start in range(0, len(arcs), TILE):
        through = arcs[start : start + TILE]
        for rows in (through, *(other for other in arcs.split(TILE) if other.data_ptr() != through.data_ptr())):
            for node, onward in enumerate(through, start):
                torch.minimum(rows, rows[:, node, None] + onward, out=rows)
    return arcs
