"""Bounds on two levels: what parents must have so that their clusters can keep theirs, and how many clusters each gets."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.kmeans.level_bounds import can_be_kept, child_counts, parent_bounds, share_clusters


def test_clusters_are_shared_in_proportion_to_size_by_hand():
    # 10 clusters of 100 rows: 6.2, 2.9 and .9 of them; whole parts 6, 2 and at least 1, the last goes to the largest rest.
    assert share_clusters(torch.tensor([62, 29, 9]), 10, 0.4, None).tolist() == [6, 3, 1]
    assert share_clusters(torch.tensor([98, 1, 1]), 10, 0.1, None).tolist() == [8, 1, 1]
    assert share_clusters(torch.tensor([50, 50]), 10, 1.0, 1.0).tolist() == [5, 5]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 500), min_size=1, max_size=12), st.integers(1, 8), st.sampled_from([(0.0, None), (0.4, 2.0)]))
def test_shares_keep_bounds_possible_or_say_that_they_cannot(sizes, times, bounds):
    total, rows = times * len(sizes), torch.tensor(sizes)
    try:
        shares = share_clusters(rows, total, *bounds)
    except ValueError:
        assert bounds[0] > 0  # without bounds there are always such shares
        return
    assert int(shares.sum()) == total
    assert int(shares.min()) >= 1
    mean = rows.sum() / total
    assert bool((shares * bounds[0] * mean <= rows + 1e-4).all())
    assert bounds[1] is None or bool((shares * bounds[1] * mean >= rows - 1e-4).all())


def test_bounds_that_no_shares_keep_are_refused():
    with pytest.raises(ValueError, match=r"2 parents of these sizes \(45 to 55 rows\).*lower min_size_ratio"):
        share_clusters(torch.tensor([55, 45]), 10, 1.0, None)


def test_bounds_of_parents_are_their_own_or_those_of_their_clusters_by_hand():
    # 1,000 rows, 3 parents, 10 clusters: a cluster has 40 to 200 rows, a parent 134 to 666 of its own.
    least, most = parent_bounds(torch.tensor([6, 3, 1]), 1000, 0.4, 2.0)
    assert least.tolist() == [240, 134, 134]
    assert most.tolist() == [666, 600, 200]
    least, none = parent_bounds(torch.tensor([6, 3, 1]), 1000, 0.4, None)
    assert least.tolist() == [240, 134, 134]
    assert none is None


def test_bounds_that_no_sizes_keep_are_told():
    assert can_be_kept(torch.tensor([3, 4]), torch.tensor([5, 5]), 10)
    assert not can_be_kept(torch.tensor([6, 5]), torch.tensor([9, 9]), 10)
    assert not can_be_kept(torch.tensor([1, 1]), torch.tensor([4, 5]), 10)
    assert not can_be_kept(torch.tensor([1, 6]), torch.tensor([9, 5]), 10)
    assert can_be_kept(torch.tensor([5, 5]), None, 10)


def test_a_parent_out_of_its_bounds_gets_clusters_as_if_it_were_at_them_by_hand():
    # Of 300 rows a parent may have 50 to 200: 240, 59 and 1 count as 200, 59 and 50 of 309.
    assert child_counts(torch.tensor([240, 59, 1]), 60, 300, 0.5, 2.0).tolist() == [39, 11, 10]
    assert child_counts(torch.tensor([0, 30]), 6, 30, 0.4, None).tolist() == [1, 5]


def test_where_sizes_are_to_be_equal_every_parent_gets_as_many():
    assert child_counts(torch.tensor([55, 45]), 10, 100, 1.0, None).tolist() == [5, 5]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 900), min_size=1, max_size=12).filter(any),
    st.integers(1, 8),
    st.integers(0, 300),
    st.sampled_from([0.0, 0.4, 0.9, 1.0]),
    st.sampled_from([None, 1.0, 1.2, 2.0]),
)
def test_bounds_of_both_levels_can_always_be_kept(sizes, each, more, ratio, most_ratio):
    total = each * len(sizes)
    rows = max(sum(sizes) + more, total)
    counts = child_counts(torch.tensor(sizes), total, rows, ratio, most_ratio)
    assert int(counts.sum()) == total
    assert int(counts.min()) >= 1
    least, most = parent_bounds(counts, rows, ratio, most_ratio)
    assert can_be_kept(least, most, rows)
    assert bool((least >= counts * minimum_rows(ratio, rows, total)).all())
    assert int(least.min()) >= minimum_rows(ratio, rows, len(sizes))
    if most is not None:
        assert bool((most <= counts * maximum_rows(most_ratio, rows, total)).all())
        assert int(most.max()) <= maximum_rows(most_ratio, rows, len(sizes))
