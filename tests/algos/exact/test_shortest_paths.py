"""Shortest paths against scipy's."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import dijkstra

from algos.exact import shortest_paths as module
from algos.exact.shortest_paths import all_distances, shortest_paths, trace


def graph(nodes: int, seed: int, *, missing: float = 0.3) -> torch.Tensor:
    """Arcs of positive cost, some of them missing."""
    generator = torch.Generator().manual_seed(seed)
    arcs = 0.1 + torch.rand(nodes, nodes, generator=generator, dtype=torch.float64)
    arcs[torch.rand(nodes, nodes, generator=generator) < missing] = torch.inf
    return arcs.fill_diagonal_(0.0)


def reference(arcs: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(dijkstra(arcs.clamp(min=1e-6).nan_to_num(posinf=0.0).numpy()))  # of zero are none to scipy


@pytest.mark.parametrize("tile", [1, 4, 64])
def test_all_distances_are_scipys(monkeypatch, tile):
    monkeypatch.setattr(module, "TILE", tile)
    arcs = graph(30, 0, missing=0.9)
    assert bool(reference(arcs).isinf().any())
    torch.testing.assert_close(all_distances(arcs.clone()), reference(arcs))


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10_000), st.booleans(), st.data())
def test_distances_are_right_as_far_as_the_farthest_target(nodes, seed, ties, data):
    arcs = graph(nodes, seed)
    arcs = (2 * arcs).floor() if ties else arcs  # 0, 1 and 2
    distances = reference(arcs)
    ends = st.lists(st.booleans(), min_size=nodes, max_size=nodes).map(torch.tensor)
    sources = data.draw(ends.filter(lambda chosen: bool(chosen.any())))
    nearest = distances[sources].min(dim=0).values
    targets = data.draw(ends) & ~sources & nearest.isfinite()
    if not bool(targets.any()):
        return
    found, parent = shortest_paths(lambda start: arcs[start], sources, targets)
    farthest = nearest[targets].max()
    within = nearest <= farthest - 1e-4
    within |= targets
    torch.testing.assert_close(found[within], nearest[within], atol=1e-4, rtol=1e-4)
    assert bool((found[~within] >= farthest - 1e-4).all())
    costs = arcs[parent, torch.arange(nodes)].tolist()
    for target in targets.nonzero()[:, 0].tolist():
        path = trace(target, parent.tolist(), costs)
        assert bool(sources[path[0].source])
        assert all(one.target == other.source for one, other in pairwise(path))
        assert path[-1].target == target
        assert sum(arc.cost for arc in path) == pytest.approx(float(nearest[target]), abs=1e-4)
