"""The flow between clusters: what holds after every round, rows that two paths want, and clusters out of reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.exact import row_flow
from algos.exact.entries import Entries
from algos.exact.row_flow import RowFlow
from algos.exact.signed_prices import SizeBounds


def flow_of(table: torch.Tensor, least: int, most: int | None = None, listed: torch.Tensor | None = None) -> RowFlow:
    """The flow without prices, over all entries of a table (n, K) or over those listed."""
    listed = torch.ones_like(table, dtype=torch.bool) if listed is None else listed
    rows, clusters = (each.numpy() for each in listed.nonzero(as_tuple=True))
    labels = torch.where(listed, table, -torch.inf).argmax(dim=1).numpy()
    values = table.numpy()
    bounds = SizeBounds.of(least, most, table.shape[1])
    own = values[np.arange(len(labels)), labels]
    return RowFlow(Entries(rows, clusters, values[rows, clusters]), labels, own, np.zeros(table.shape[1]), bounds)


def consistent(flow: RowFlow, table: torch.Tensor, sizes: np.ndarray) -> None:
    """No entry pays, similarities are those of the labels, and no row is lost."""
    assert flow.reduced(flow.entries).min() >= -1e-12
    np.testing.assert_array_equal(flow.own, table.numpy()[np.arange(len(table)), flow.labels])
    np.testing.assert_array_equal(flow.least + flow.spare + flow.excess[:-1], np.bincount(flow.labels, minlength=len(sizes)))
    assert flow.excess.sum() == 0


def test_the_invariant_holds_after_every_round(monkeypatch):
    table = torch.randn(40, 5, generator=torch.Generator().manual_seed(6), dtype=torch.float64) + torch.arange(5)
    flow = flow_of(table, 7, 9)
    rounds, send = [], flow._send

    def sent(free: Entries) -> np.ndarray:
        consistent(flow, table, flow.least)
        before = np.abs(flow.excess).sum()
        moved = send(free)
        consistent(flow, table, flow.least)
        rounds.append(before - np.abs(flow.excess).sum())
        return moved

    monkeypatch.setattr(flow, "_send", sent)
    assert not flow.run().any()
    assert min(rounds) > 0  # every round brings rows home
    sizes = np.bincount(flow.labels, minlength=5)
    assert sizes.min() >= 7
    assert sizes.max() <= 9


def test_few_entries_at_a_time_lead_to_the_same_total(monkeypatch):
    table = torch.randn(200, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + torch.arange(6)
    whole = flow_of(table, 30, 40)
    whole.run()
    monkeypatch.setattr(row_flow, "NEAR", 1)
    few = flow_of(table, 30, 40)
    assert not few.run().any()
    assert few.own.sum() == pytest.approx(whole.own.sum(), abs=1e-9)
    consistent(few, table, few.least)


def test_a_row_that_two_paths_want_goes_along_one():
    # Clusters 1 and 2 lack a row each; row 0 loses least in both.
    table = torch.tensor([[5.0, 4.0, 3.0], [5.0, 0.0, 0.5], [5.0, 0.0, 0.0], [5.0, 0.0, 0.0]], dtype=torch.float64)
    flow = flow_of(table, 1)
    flow.run()
    assert flow.labels.tolist() == [1, 2, 0, 0]
    assert flow.moves == 2


def test_a_cluster_on_no_list_is_said_to_be_out_of_reach():
    table = torch.zeros(6, 3, dtype=torch.float64) + torch.tensor([2.0, 1.0, 0.0])
    listed = torch.ones(6, 3, dtype=torch.bool)
    listed[:, 2] = False
    flow = flow_of(table, 2, listed=listed)
    assert flow.run().tolist() == [False, False, True, False]
    flow.take(Entries(np.arange(3), np.full(3, 2), np.zeros(3)))
    assert not flow.run().any()
    assert np.bincount(flow.labels).tolist() == [2, 2, 2]
    assert flow.own.sum() == 6.0


def test_costs_that_rounding_leaves_below_zero_lie_within_reach():
    table = torch.full((40, 2), 0.3, dtype=torch.float64)
    flow = flow_of(table, 20)
    flow.prices[:2] = 0.6  # 0.3 + 0.6 - 0.3 - 0.6 is -1.1e-16
    flow.count()
    assert flow.reduced(flow.entries).min() < 0
    assert flow.near(1)[1] == 0.0
    assert not flow.run().any()
    assert np.bincount(flow.labels).tolist() == [20, 20]
