"""Shortlists against a search through everything, and repairs on them against the linear program."""

from __future__ import annotations

from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.exact import shortlist
from algos.exact.shortlist import Shortlist, bound_over_all, empty_list, list_rows, repair_listed, suffices, widths
from tests.helpers.inputs.oracle import best_total
from tests.helpers.inputs.price_tables import priced_labels


def entries(priced: torch.Tensor, labels: torch.Tensor, wanted: torch.Tensor) -> list[tuple[int, float, int, int]]:
    """Cluster, loss, place and owner of every entry, by sorting all rows for each cluster."""
    found = []
    for cluster, width in enumerate(wanted.tolist()):
        outside = (labels != cluster).nonzero()[:, 0]
        losses = priced[outside, labels[outside]] - priced[outside, cluster]
        order = losses.argsort(stable=True)[:width]
        found += [(cluster, float(losses[i]), int(outside[i]), int(labels[outside[i]])) for i in order]
    return found


def listed(each: Shortlist) -> list[tuple[int, float, int, int]]:
    return list(zip(*(column.tolist() for column in each.entries()), strict=True))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 10_000), st.integers(1, 7), st.booleans())
def test_the_list_is_that_of_a_search_whatever_the_pieces(rows, clusters, seed, piece, ties):
    generator = torch.Generator().manual_seed(seed)
    priced = torch.randn(rows, clusters, generator=generator)
    priced = priced.round() if ties else priced
    labels = priced.argmax(dim=1)
    wanted = torch.randint(0, 6, (clusters,), generator=generator)
    parts = [Shortlist(wanted), Shortlist(wanted)]
    merged = Shortlist(wanted)
    with mock.patch.object(shortlist, "BUFFER", seed % 50):  # sorted after few entries or after many
        for start in range(0, rows, piece):
            mine = torch.arange(start, min(start + piece, rows))
            parts[start > rows // 2].add(priced[mine], labels[mine], mine)
        for part in reversed(parts):  # tasks end in any order
            merged.merge(*part.entries())
    assert listed(merged) == entries(priced, labels, wanted)
    places, owners = merged.rows()
    assert places.tolist() == sorted({place for _, _, place, _ in listed(merged)})
    assert owners.tolist() == labels[places].tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(1, 5), st.integers(0, 10_000), st.booleans())
def test_the_list_is_the_same_where_a_part_knows_the_limits_of_another(rows, clusters, seed, backwards):
    generator = torch.Generator().manual_seed(seed)
    priced = torch.randn(rows, clusters, generator=generator).round()  # many lose as much as the last one listed
    labels, wanted = priced.argmax(dim=1), torch.randint(0, 6, (clusters,), generator=generator)
    merged, halves = Shortlist(wanted), torch.arange(rows).split(-(-rows // 2))
    for mine in reversed(halves) if backwards else halves:
        part = Shortlist(wanted)
        part.stay_below(merged.limits)
        part.add(priced[mine], labels[mine], mine)
        merged.merge(*part.entries())
    assert listed(merged) == entries(priced, labels, wanted)


def test_a_part_that_knows_the_limits_of_another_lists_what_that_would_take_up_and_no_more():
    merged, part = Shortlist(torch.tensor([0, 1])), Shortlist(torch.tensor([0, 1]))
    merged.add(torch.tensor([[3.0, 1.0]]), torch.tensor([0]), torch.tensor([5]))
    part.stay_below(merged.limits)
    part.add(torch.tensor([[3.0, 1.0], [3.0, 0.5]]), torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert listed(part) == [(1, 2.0, 0, 0)]  # it loses as much as the other's, and comes before it by its place


def test_what_is_not_wanted_is_not_listed():
    each = Shortlist(torch.tensor([0, 2]))
    each.add(torch.tensor([[0.0, 3.0], [3.0, 0.0], [3.0, 1.0]]), torch.tensor([1, 0, 0]), torch.arange(3))
    assert listed(each) == [(1, 2.0, 2, 0), (1, 3.0, 1, 0)]


def test_a_list_is_four_times_what_lacks_and_some_to_spare():
    assert widths(torch.tensor([10, 3]), 5).tolist() == [2, 10]
    assert widths(torch.tensor([90, 30]), 50).tolist() == [16, 96]
    assert widths(torch.tensor([90, 30]), 50, factor=2).tolist() == [32, 192]


problems = st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 10), st.integers(0, 10_000))


def problem(clusters: int, least: int, extra: int, seed: int) -> tuple[torch.Tensor, ...]:
    """Unit rows (n, D), centers (K, D), prices (K,), labels (n,) and sizes (K,)."""
    generator = torch.Generator().manual_seed(seed)
    rows = F.normalize(torch.randn(clusters * least + extra, 3, generator=generator), dim=1)
    centers = F.normalize(torch.randn(clusters, 3, generator=generator), dim=1)
    prices = 0.2 * torch.rand(clusters, generator=generator)
    labels = priced_labels(lambda i, k: rows[i].double() @ centers[k].double().T, len(rows), prices.double())
    return rows, centers, prices, labels, labels.bincount(minlength=clusters)


@settings(max_examples=60, deadline=None)
@given(problems)
def test_with_every_row_listed_the_labels_reach_the_optimum_of_the_linear_program(sizes):
    clusters, least, *_ = sizes
    rows, centers, prices, labels, counts = problem(*sizes)
    table = rows.double() @ centers.double().T
    after = repair_listed(rows, labels, centers, prices, counts, least)
    assert after.bincount(minlength=clusters).min() >= least
    assert float(table.gather(1, after[:, None]).sum()) == pytest.approx(best_total(table.numpy(), least), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(problems, st.integers(0, 3))
def test_a_short_list_keeps_every_minimum_within_the_bound(sizes, spare):
    clusters, least, *_ = sizes
    rows, centers, prices, labels, counts = problem(*sizes)
    table = rows.double() @ centers.double().T
    total = float(table.gather(1, labels[:, None]).sum())
    bound = bound_over_all(total, counts, prices, least)
    assert bound >= best_total(table.numpy(), least) - 1e-6
    each = Shortlist(2 * (least - counts).clamp(min=0) + spare)
    each.add(table.float() + prices, labels, torch.arange(len(rows)))
    places, owners = each.rows()
    if not len(places):
        assert counts.min() >= least
        return
    if not suffices(counts, owners, least):
        with pytest.raises(ValueError, match="rows for their minimum sizes"):
            repair_listed(rows[places], owners, centers, prices, counts, least)
        return
    after = labels.clone()
    after[places] = repair_listed(rows[places], owners, centers, prices, counts, least)
    assert after.bincount(minlength=clusters).min() >= least
    assert float(table.gather(1, after[:, None]).sum()) <= bound + 1e-6


def test_few_rows_listed_are_as_good_as_all():
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(4000, 8, generator=generator), dim=1)
    centers = F.normalize(torch.randn(20, 8, generator=generator), dim=1)
    prices, least = torch.zeros(20), 120
    table = rows.double() @ centers.double().T
    labels = table.argmax(dim=1)
    counts = labels.bincount(minlength=20)
    assert counts.min() < least
    each = Shortlist(widths(counts, least))
    each.add(table.float(), labels, torch.arange(4000))
    places, owners = each.rows()
    assert len(places) < 2000
    after = labels.clone()
    after[places] = repair_listed(rows[places], owners, centers, prices, counts, least)
    reached = float(table.gather(1, after[:, None]).sum())
    best = best_total(table.numpy(), least)
    assert best - reached < 1e-3 * best
    assert bound_over_all(float(table.gather(1, labels[:, None]).sum()), counts, prices, least) >= best - 1e-6
    assert shortlist.outside_minimum(counts, owners, least).sum() <= len(places)


def test_a_cluster_with_too_many_lists_its_own_rows_that_lose_least_by_leaving():
    # Clusters 0 and 1 are full, 2 has room; leaving goes to 2, whatever 1 would give.
    each = Shortlist(torch.tensor([0, 0, 0, 2, 0, 0]), room=torch.tensor([False, False, True]))
    each.add(
        torch.tensor([[3.0, 2.9, 0.0], [3.0, 0.0, 2.0], [3.0, 0.0, 1.0]]), torch.zeros(3, dtype=torch.int64), torch.arange(3)
    )
    assert listed(each) == [(3, 1.0, 1, 0), (3, 2.0, 2, 0)]


def test_a_maximum_that_is_exceeded_widens_the_lists():
    assert widths(torch.tensor([10, 3]), 0, 12).tolist() == [0, 0]
    assert widths(torch.tensor([10, 3]), 0, 8).tolist() == [2, 2, 10, 2]
    assert not suffices(torch.tensor([10, 3]), torch.tensor([0]), 0, 8)
    assert suffices(torch.tensor([10, 3]), torch.tensor([0, 0]), 0, 8)


@settings(max_examples=60, deadline=None)
@given(problems, st.integers(0, 2), st.integers(0, 3))
def test_lists_of_both_bounds_keep_them_within_the_bound(sizes, spare, above):
    clusters, least, *_ = sizes
    rows, centers, prices, labels, counts = problem(*sizes)
    table = rows.double() @ centers.double().T
    prices = prices - prices.mean()  # signed
    most = -(-len(rows) // clusters) + above
    with mock.patch.object(shortlist, "SPARE", spare):
        ((places, owners),) = list_rows(
            [counts], [least], [most], lambda lists: lists[0].add(table.float() + prices, labels, torch.arange(len(rows)))
        )
    after = labels.clone()
    if len(places):
        after[places] = repair_listed(rows[places], owners, centers, prices, counts, least, most)
    sizes_after = after.bincount(minlength=clusters)
    assert sizes_after.min() >= least
    assert sizes_after.max() <= most
    reached, best = float(table.gather(1, after[:, None]).sum()), best_total(table.numpy(), least, most)
    bound = bound_over_all(float(table.gather(1, labels[:, None]).sum()), counts, prices, least, most)
    assert reached <= best + 1e-6 <= bound + 2e-6


def test_few_rows_listed_for_a_maximum_are_nearly_as_good_as_all():
    generator = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(4000, 8, generator=generator), dim=1)
    centers = F.normalize(torch.randn(20, 8, generator=generator), dim=1)
    table = rows.double() @ centers.double().T
    labels = table.argmax(dim=1)
    counts = labels.bincount(minlength=20)
    least, most = 120, 280
    assert counts.max() > most
    each = empty_list(counts, least, most)
    each.add(table.float(), labels, torch.arange(4000))
    places, owners = each.rows()
    assert suffices(counts, owners, least, most)
    after = labels.clone()
    after[places] = repair_listed(rows[places], owners, centers, torch.zeros(20), counts, least, most)
    assert after.bincount(minlength=20).min() >= 120
    assert after.bincount(minlength=20).max() <= 280
    best = best_total(table.numpy(), least, most)
    assert best - float(table.gather(1, after[:, None]).sum()) < 2e-3 * best


def test_only_groups_with_a_broken_bound_list_rows_by_hand():
    groups = torch.tensor([0, 0, 1, 1])
    assert widths(torch.tensor([10, 3, 9, 9]), 5, groups=groups).tolist() == [2, 10, 0, 0]
    assert widths(torch.tensor([10, 3, 9, 1]), torch.tensor([5, 5, 5, 2]), 9, groups=groups).tolist() == [3, 11, 1, 5, 7, 3, 1, 1]
    # Two rows of the first group are not enough for the three that its second cluster lacks, whatever the other has.
    counts, owners = torch.tensor([10, 2, 9, 9]), torch.tensor([0, 0, 2, 2])
    assert suffices(counts, owners, 5)
    assert not suffices(counts, owners, 5, groups=groups)
    assert suffices(counts, torch.tensor([0, 0, 0]), 5, groups=groups)


def test_rows_that_may_join_some_clusters_are_listed_as_if_the_others_were_out_of_reach():
    generator = torch.Generator().manual_seed(0)
    priced, clusters = torch.rand(60, 6, generator=generator), torch.tensor([[0, 1, 2], [3, 4, 5]])
    family = torch.arange(60) % 2
    others = torch.ones_like(priced, dtype=torch.bool).scatter_(1, clusters[family], False)
    dense = priced.masked_fill(others, -torch.inf)
    labels, places = dense.argmax(dim=1), torch.arange(60)
    wanted = torch.tensor([3, 0, 4, 2, 9, 1, 0, 2, 5, 1, 0, 3])
    room = torch.tensor([True, True, False, True, False, True])
    one, other = Shortlist(wanted, room), Shortlist(wanted, room)
    one.add(dense, labels, places)
    for each in (0, 1):
        mine = family == each
        here = clusters[each].expand(int(mine.sum()), -1)
        other.add(priced[mine].gather(1, here), labels[mine], places[mine], here)
    assert listed(one) == listed(other)
    assert len(listed(one)) == 30


def test_every_cluster_may_have_bounds_of_its_own():
    generator = torch.Generator().manual_seed(3)
    rows, centers = torch.randn(80, 3, generator=generator), torch.randn(4, 3, generator=generator)
    priced = rows @ centers.T
    labels = priced.argmax(dim=1)
    counts = labels.bincount(minlength=4)
    least, most = torch.zeros_like(counts), counts + 1
    least[0], most[0] = counts[0] + 5, counts[0] + 9
    ((places, owners),) = list_rows([counts], [least], [most], lambda lists: lists[0].add(priced, labels, torch.arange(80)))
    after = labels.clone()
    after[places] = repair_listed(rows[places], owners, centers, torch.zeros(4), counts, least, most)
    sizes = after.bincount(minlength=4)
    assert bool(((least <= sizes) & (sizes <= most)).all())
    assert float(priced.gather(1, after[:, None]).sum()) == pytest.approx(
        best_total(priced.double().numpy(), least, most), abs=1e-4
    )
