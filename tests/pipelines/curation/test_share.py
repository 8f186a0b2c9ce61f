"""A budget shared among clusters: exact, even, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.curation.share import share, share_tree

SIZES = st.lists(st.integers(0, 40), min_size=1, max_size=30).map(np.array)


@pytest.mark.parametrize(
    ("budget", "sizes", "expected"),
    [
        (10, [2, 9, 9], [2, 4, 4]),
        (6, [1, 9, 2], [1, 3, 2]),
        (20, [2, 9, 9], [2, 9, 9]),
        (99, [2, 0], [2, 0]),
        (0, [2, 3], [0, 0]),
    ],
)
def test_small_clusters_give_all_and_the_others_what_is_left_in_equal_parts(budget, sizes, expected):
    assert share(budget, np.array(sizes), np.random.default_rng(0)).tolist() == expected


def test_rows_that_equal_shares_leave_over_go_to_clusters_drawn_by_the_seed():
    found = [tuple(share(7, np.array([1, 9, 9, 9, 9]), np.random.default_rng(seed))) for seed in range(60)]
    assert {tuple(sorted(one)) for one in found} == {(1, 1, 1, 2, 2)}
    assert len(set(found)) == 6  # every two of the four


@given(SIZES, st.integers(0, 400), st.integers(0, 9))
def test_the_total_is_exact_and_two_clusters_differ_by_one_at_most_unless_one_is_used_up(sizes, budget, seed):
    shares = share(budget, sizes, np.random.default_rng(seed))
    assert shares.sum() == min(budget, sizes.sum())
    assert ((shares >= 0) & (shares <= sizes)).all()
    open_ones = shares[shares < sizes]
    if len(open_ones):
        assert shares.max() <= open_ones.min() + 1
    assert (shares == share(budget, sizes, np.random.default_rng(seed))).all()


@given(SIZES, st.integers(0, 400), st.integers(0, 9), st.randoms(use_true_random=False))
def test_of_clusters_below_clusters_the_coarse_ones_share_first(sizes, budget, seed, draw):
    parent = np.array([draw.randrange(5) for _ in sizes])
    shares = share_tree(budget, sizes, [parent], seed)
    above = np.bincount(parent, weights=sizes).astype(int)
    assert shares.sum() == min(budget, sizes.sum())
    assert (shares <= sizes).all()
    assert (np.bincount(parent, weights=shares) == share(budget, above, np.random.default_rng([seed, 1]))).all()
    for cluster in range(len(above)):
        mine = shares[parent == cluster]
        open_ones = mine[mine < sizes[parent == cluster]]
        assert len(open_ones) == 0 or mine.max() <= open_ones.min() + 1
    assert (share_tree(budget, sizes, [parent], seed) == shares).all()


def test_a_coarse_cluster_of_many_small_ones_gets_no_more_than_another():
    parent = np.array([0] * 8 + [1] * 2)
    shares = share_tree(16, np.full(10, 10), [parent], seed=0)
    assert shares.tolist() == [1] * 8 + [4] * 2
    assert share_tree(20, np.full(10, 10), [], seed=0).tolist() == [2] * 10


def test_three_levels_share_from_the_top_down():
    shares = share_tree(8, np.full(6, 10), [np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1])], seed=3)
    assert shares.tolist() == [1, 1, 1, 1, 2, 2]
