"""The flow between clusters: what holds after every path, and paths that close."""

from __future__ import annotations

import torch

from algos.exact.min_cost_flow import ClusterFlow
from algos.exact.signed_prices import SizeBounds
from tests.helpers.price_tables import lookup, zeros


def consistent(flow: ClusterFlow, table: torch.Tensor) -> None:
    """No arc costs less than the prices of its ends differ by, and every arc costs what its cheapest member loses."""
    reduced = flow.costs + flow.prices[:, None] - flow.prices
    assert float(reduced.min()) >= -1e-12
    labels, clusters = flow.labels(), table.shape[1]
    own = table.gather(1, labels[:, None])
    for k in range(clusters):  # costs are kept up lazily: they must equal the ones computed anew
        losses = (own - table)[labels == k]
        others = [j for j in range(clusters) if j != k]
        nobody = torch.full((1, clusters), torch.inf, dtype=torch.float64)  # an empty cluster has no row to give
        torch.testing.assert_close(flow.costs[k, others], torch.cat([losses, nobody])[:, others].min(dim=0).values)


def test_the_invariant_holds_after_every_path():
    table = torch.randn(40, 5, generator=torch.Generator().manual_seed(6), dtype=torch.float64) + torch.arange(5)
    flow = ClusterFlow(lookup(table), table.argmax(dim=1), zeros(5), SizeBounds.of(7, None, 5))
    searches, sent = 0, 0
    while bool((flow.excess > 0).any()):
        searches += 1
        paths = flow._shortest_paths()
        assert flow._is_open(paths[0])
        for path in filter(flow._is_open, paths):
            flow._send(path)
            sent += 1
            consistent(flow, table)
    assert flow.labels().bincount().tolist() == (flow.spare + 7).tolist()
    assert searches < sent


def test_a_row_that_two_paths_want_goes_along_the_nearer():
    # Clusters 1 and 2 lack a row each; row 0 loses least in both.
    table = torch.tensor([[5.0, 4.0, 3.0], [5.0, 0.0, 0.5], [5.0, 0.0, 0.0], [5.0, 0.0, 0.0]], dtype=torch.float64)
    flow = ClusterFlow(lookup(table), table.argmax(dim=1), zeros(3), SizeBounds.of(1, None, 3))
    nearer, farther = flow._shortest_paths()
    assert [(arc.source, arc.target, arc.cost) for arc in nearer] == [(3, 0, 0.0), (0, 1, 1.0)]
    assert [(arc.source, arc.target, arc.cost) for arc in farther] == [(3, 0, 0.0), (0, 2, 2.0)]
    assert flow._send(nearer) == 1
    assert not flow._is_open(farther)  # its row has gone
    flow.run()
    assert flow.labels().tolist() == [1, 2, 0, 0]
