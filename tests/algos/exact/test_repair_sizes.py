"""Exact minimum sizes: hand-computed cases, the linear program as the oracle, the bound, and sizes that matter."""

from __future__ import annotations

import time

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.exact import price_search, similarities
from algos.exact import repair_sizes as module
from algos.exact.repair_sizes import audit, repair_sizes
from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.exact.signed_prices import SizeBounds
from tests.helpers.inputs.oracle import best_total
from tests.helpers.inputs.price_tables import lookup, priced_labels, zeros


def test_the_cheapest_row_moves():
    # All prefer cluster 0; rows lose 5, 1, 3 in cluster 1, so row 1 goes.
    table = torch.tensor([[5.0, 0.0], [5.0, 4.0], [5.0, 2.0]], dtype=torch.float64)
    repair = repair_sizes(lookup(table), 3, zeros(2), 1)
    assert repair.labels.tolist() == [0, 1, 0]
    assert (repair.objective, repair.cost) == (14.0, 1.0)
    assert repair.gap == pytest.approx(0.0, abs=1e-12)
    assert 1.0 < float(repair.prices[1] - repair.prices[0]) < 3.0  # row 1 goes, row 2 stays


def test_a_chain_of_moves_beats_the_direct_one(monkeypatch):
    monkeypatch.setattr(price_search, "ROUNDS", 0)  # no search for prices: the path must find the chain
    # Cluster 2 lacks a row. From 0 directly it costs 9; 0 -> 1 -> 2 costs 1 + 2.
    table = torch.tensor([[9.0, 8.0, 0.0], [9.0, 0.0, 0.0], [0.0, 9.0, 7.0]], dtype=torch.float64)
    repair = repair_sizes(lookup(table), 3, zeros(3), 1)
    assert repair.labels.tolist() == [1, 0, 2]
    assert (repair.cost, repair.moves) == (3.0, 2)


def test_a_cluster_that_a_price_overfilled_gives_rows_back():
    table = torch.tensor([[1.0, 0.0], [1.0, 0.5], [1.0, 0.9], [0.0, 1.0]], dtype=torch.float64)
    overpriced = torch.tensor([0.0, 5.0], dtype=torch.float64)
    assert priced_labels(lookup(table), 4, overpriced).tolist() == [1, 1, 1, 1]
    repair = repair_sizes(lookup(table), 4, overpriced, 1)
    assert repair.labels.tolist() == [0, 0, 0, 1]
    assert repair.cost == pytest.approx(2.4 - 4.0)


def test_more_rows_than_there_are_is_an_error():
    with pytest.raises(ValueError, match="3 clusters need 6 rows for their minimum sizes; there are 5"):
        repair_sizes(lookup(torch.zeros(5, 3)), 5, zeros(3), 2)


def test_bounds_that_cannot_hold_are_an_error():
    with pytest.raises(ValueError, match="3 clusters have room for 3 rows under their maximum sizes; there are 5"):
        repair_sizes(lookup(torch.zeros(5, 3)), 5, zeros(3), 0, 1)
    with pytest.raises(ValueError, match="cluster 1 is to have 2 rows at least and 1 at most"):
        repair_sizes(lookup(torch.zeros(5, 3)), 5, zeros(3), torch.tensor([0, 2, 0]), torch.tensor([5, 1, 5]))


def test_the_row_that_loses_least_leaves_a_full_cluster():
    table = torch.tensor([[5.0, 0.0], [5.0, 4.0], [5.0, 2.0]], dtype=torch.float64)
    repair = repair_sizes(lookup(table), 3, zeros(2), 0, 2)
    assert repair.labels.tolist() == [0, 1, 0]
    assert float(repair.prices[0]) <= 0 <= float(repair.prices[1])
    assert 1.0 < float(repair.prices[1] - repair.prices[0]) < 3.0


def test_labels_are_a_strict_argmax_where_clusters_may_have_no_row():
    """Prices of such clusters may fall without end: those of the others, which theirs kept up, fall with them."""
    table = torch.tensor(
        [
            [-0.3113, -0.7130, -0.7291, -0.2992, -0.2529],
            [-0.3602, 0.9394, 1.1614, -0.1706, 0.0149],
            [-0.0476, 0.5480, -1.2491, 0.3195, -0.9922],
            [-0.2986, 0.6443, 0.0958, -1.5084, -0.5842],
            [-2.0680, -0.1941, 0.2923, 1.0146, 1.5558],
            [2.2597, 2.0956, 0.2142, 1.3701, 0.8451],
        ],
        dtype=torch.float64,
    )
    repair = repair_sizes(lookup(table), 6, zeros(5), torch.tensor([2, 1, 0, 0, 0]), torch.tensor([3, 2, 1, 0, 0]))
    assert repair.labels.tolist() == [0, 1, 0, 1, 2, 0]
    best = (table + repair.prices).topk(2, dim=1)
    assert best.indices[:, 0].tolist() == repair.labels.tolist()
    assert float((best.values[:, 0] - best.values[:, 1]).min()) > 0.1


def test_one_cluster_takes_all_rows():
    repair = repair_sizes(lookup(torch.ones(4, 1, dtype=torch.float64)), 4, zeros(1), 4, 4)
    assert (repair.labels.tolist(), repair.objective, repair.gap) == ([0, 0, 0, 0], 4.0, 0.0)


@pytest.mark.parametrize(
    ("ratio", "rows", "clusters", "most"), [(2.0, 100, 10, 20), (1.0, 101, 10, 11), (1.45, 100, 10, 14), (1.1, 30, 10, 3)]
)
def test_the_maximum_is_rounded_down_as_far_as_all_rows_have_room(ratio, rows, clusters, most):
    assert maximum_rows(ratio, rows, clusters) == most


@pytest.mark.parametrize(
    ("ratio", "rows", "clusters", "least"),
    [(0.0, 10, 3, 0), (0.4, 100, 10, 4), (0.45, 100, 10, 5), (1.0, 100, 10, 10), (1.0, 101, 10, 10), (0.1, 30, 10, 1)],
)
def test_the_minimum_is_rounded_up_as_far_as_there_are_rows(ratio, rows, clusters, least):
    assert minimum_rows(ratio, rows, clusters) == least


problems = st.tuples(
    st.integers(1, 5), st.integers(1, 30), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0, 4.0]), st.booleans()
)


@settings(max_examples=80, deadline=None)
@given(problems, st.floats(0, 1))
def test_labels_reach_the_optimum_of_the_linear_program(problem, share):
    clusters, extra, seed, start, ties = problem
    generator = torch.Generator().manual_seed(seed)
    n = clusters + extra
    table = torch.randn(n, clusters, generator=generator, dtype=torch.float64)
    table = table.round() if ties else table
    least = int(share * (n // clusters))
    repair = repair_sizes(lookup(table), n, start * torch.rand(clusters, generator=generator), least)
    assert repair.labels.bincount(minlength=clusters).min() >= least
    optimum = best_total(table.numpy(), least)
    assert repair.objective == pytest.approx(float(table.gather(1, repair.labels[:, None]).sum()))
    assert repair.objective == pytest.approx(optimum, abs=1e-9)
    assert -1e-9 <= optimum - repair.objective <= repair.gap + 1e-9
    assert repair.gap <= 1e-9
    assert bool((repair.prices >= 0).all())
    if not ties:
        assert torch.equal(priced_labels(lookup(table), n, repair.prices), repair.labels)


sizes_of = st.tuples(st.integers(1, 6), st.integers(1, 30), st.integers(0, 10_000))


@st.composite
def bounded_problems(draw):
    """A table (n, K), prices to start from, and bounds that can hold: of one size for all, or of each cluster."""
    clusters, extra, seed = draw(sizes_of)
    generator = torch.Generator().manual_seed(seed)
    n = clusters + extra
    table = torch.randn(n, clusters, generator=generator, dtype=torch.float64)
    kind = draw(st.sampled_from(["free", "ties", "copies", "equal rows"]))
    if kind == "ties":
        table = table.round()
    elif kind == "copies":
        table = table[torch.randint(0, min(n, 3), (n,), generator=generator)]
    elif kind == "equal rows":
        table = table[:1].expand(n, -1).contiguous()
    prices = draw(st.sampled_from([0.0, 0.1, 4.0])) * torch.randn(clusters, generator=generator)
    own = torch.randint(0, clusters, (n,), generator=generator).bincount(minlength=clusters)  # sizes that are possible
    slack = draw(st.sampled_from([0, 1, 5]))
    least = (own - torch.randint(0, slack + 1, (clusters,), generator=generator)).clamp(min=0)
    most = own + torch.randint(0, slack + 1, (clusters,), generator=generator)
    if draw(st.booleans()):
        least, most = torch.full_like(own, int(least.min())), torch.full_like(own, int(most.max()))
    return table, prices, least, most, kind


@settings(max_examples=200, deadline=None)
@given(bounded_problems())
def test_labels_within_both_bounds_reach_the_optimum_of_the_linear_program(problem):
    table, prices, least, most, kind = problem
    n, clusters = table.shape
    repair = repair_sizes(lookup(table), n, prices, least, most)
    counts = repair.labels.bincount(minlength=clusters)
    assert bool(((least <= counts) & (counts <= most)).all())
    optimum = best_total(table.numpy(), least.numpy(), most.numpy())
    assert repair.objective == pytest.approx(float(table.gather(1, repair.labels[:, None]).sum()))
    assert repair.objective == pytest.approx(optimum, abs=1e-9)
    assert -1e-9 <= optimum - repair.objective <= repair.gap + 1e-9
    assert repair.gap <= 1e-9
    assert bool((counts[repair.prices > 1e-12] == least[repair.prices > 1e-12]).all())  # a price belongs to a tight bound
    assert bool((counts[repair.prices < -1e-12] == most[repair.prices < -1e-12]).all())
    priced = table + repair.prices
    assert bool((priced.gather(1, repair.labels[:, None])[:, 0] >= priced.amax(dim=1) - 1e-12).all())
    if kind == "free":
        assert torch.equal(priced_labels(lookup(table), n, repair.prices), repair.labels)


def test_the_flow_alone_reaches_the_optimum_without_price_search(monkeypatch):
    monkeypatch.setattr(price_search, "ROUNDS", 0)
    table = torch.randn(60, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) + torch.arange(6)
    repair = repair_sizes(lookup(table), 60, zeros(6), 9)
    assert repair.moves > 30  # the start is far off
    assert repair.objective == pytest.approx(best_total(table.numpy(), 9))


@pytest.mark.parametrize("error", [1e-7, 1e-2, 1.0])
def test_rough_similarities_change_no_label(error):
    generator = torch.Generator().manual_seed(5)
    table = torch.randn(400, 20, generator=generator, dtype=torch.float64) + torch.linspace(0, 2, 20)
    rough = (table + error * torch.randn(400, 20, generator=generator)).float()
    repair = repair_sizes(lookup(table), 400, zeros(20), 15, 30, rough=lookup(rough))
    assert torch.equal(repair.labels, repair_sizes(lookup(table), 400, zeros(20), 15, 30).labels)
    assert repair.gap < 1e-9


def test_pieces_do_not_change_the_answer(monkeypatch):
    table = torch.randn(50, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64) + torch.arange(7) / 3
    whole = repair_sizes(lookup(table), 50, zeros(7), 6)
    monkeypatch.setattr(similarities, "SIMILARITIES_HELD", 20)
    pieces = repair_sizes(lookup(table), 50, zeros(7), 6)
    assert torch.equal(whole.labels, pieces.labels)
    assert pieces.objective == pytest.approx(whole.objective)


def test_only_rows_that_may_be_better_off_their_list_are_looked_at_again(monkeypatch):
    monkeypatch.setattr(price_search, "ROUNDS", 0)  # prices move far from those of the lists, which hold 16 clusters
    table = torch.rand(600, 40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    table[:, -1] -= 0.5  # on no list, so that its price rises
    looked = list[int]()

    def counted(*given, rows):
        looked.append(len(rows))
        return audit(*given, rows=rows)

    monkeypatch.setattr(module, "audit", counted)
    repair = repair_sizes(lookup(table), 600, zeros(40), 12)
    assert repair.objective == pytest.approx(best_total(table.numpy(), 12))
    assert repair.gap == pytest.approx(0.0, abs=1e-9)
    assert 0 < looked[0] < 600


def test_twenty_thousand_rows_take_seconds():
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(
        torch.randn(20_000, 64, generator=generator, dtype=torch.float64) + torch.randn(64, generator=generator), dim=1
    )
    centers = rows[:100]
    began = time.perf_counter()
    repair = repair_sizes(lambda index, clusters: rows[index] @ centers[clusters].T, 20_000, zeros(100), 180)
    assert time.perf_counter() - began < 20  # about 1 s when nothing else runs
    assert int(repair.labels.bincount(minlength=100).min()) == 180
    assert repair.cost > 1.0
    assert repair.gap <= 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0, 4.0]))
def test_any_prices_bound_the_optimum(clusters, extra, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    n = clusters + extra
    least = n // clusters
    table = torch.randn(n, clusters, generator=generator, dtype=torch.float64)
    prices = scale * torch.rand(clusters, generator=generator, dtype=torch.float64)
    labels = torch.arange(n) % clusters
    found = audit(lookup(table), labels, prices)
    achieved, bound = found.objective, found.best - SizeBounds.of(least, None, clusters).value(prices)
    assert achieved == pytest.approx(float(table.gather(1, labels[:, None]).sum()))
    assert achieved <= best_total(table.numpy(), least) + 1e-9 <= bound + 2e-9
