"""The sizes that clusters may have: of rows whole numbers, of weight any, and each refusal in a sentence."""

from __future__ import annotations

import math

import pytest

from algos.estimator.wanted_sizes import DEFAULT_RATIO, Sizes, Wanted


def test_ratios_are_rounded_towards_the_mean_size_where_rows_count_alike():
    # 103 rows, 10 clusters: .45 and 1.55 of 10.3 are 4.635 and 15.965.
    assert Wanted(0.45, None, 1.55, None).of_rows(103, 10, 1.0, alike=True) == Sizes(5, 15, 0.45, 1.55)
    assert Wanted(0.45, None, 1.55, None).of_rows(103, 10, 2.0, alike=False) == Sizes(9.27, pytest.approx(31.93), 0.45, 1.55)
    assert Wanted(0.4, None, None, None).of_rows(100, 10, 1.0, alike=True) == Sizes(4, math.inf, 0.4, None)


def test_bounds_that_no_whole_sizes_keep_give_way_to_what_all_clusters_can_have():
    assert Wanted(1.0, None, 1.0, None).of_rows(103, 10, 1.0, alike=True) == Sizes(10, 11, 1.0, 1.0)


def test_sizes_become_ratios():
    assert Wanted(DEFAULT_RATIO, 5, None, 20).of_rows(100, 10, 1.0, alike=True) == Sizes(5, 20, 0.5, 2.0)
    assert Wanted(DEFAULT_RATIO, 4.2, None, 20.9).of_rows(100, 10, 1.0, alike=True) == Sizes(5, 20, 0.5, 2.0)
    assert Wanted(DEFAULT_RATIO, 4.2, None, 21).of_rows(100, 10, 2.0, alike=False) == Sizes(4.2, 21, 0.21, 1.05)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (Wanted(0.5, 3, None, None), "both min_cluster_size and min_size_ratio are set"),
        (Wanted(0.4, None, 2.0, 30), "both max_cluster_size and max_size_ratio are set"),
        (Wanted(0.4, 11, None, None), "10 clusters of at least 11 rows need 110; X has 100"),
        (Wanted(0.4, None, None, 9), "10 clusters of at most 9 rows hold 90; X has 100"),
        (
            Wanted(0.4, 10.2, None, None),
            "10 clusters of at least 11 rows need 110; X has 100",
        ),  # 10.2 would need no more than 102
        (Wanted(0.4, None, None, 9.99), "10 clusters of at most 9 rows hold 90; X has 100"),
        (Wanted(0.4, None, None, 10.9), None),
    ],
)
def test_bounds_that_cannot_hold_are_refused_in_one_sentence(wanted, words):
    if words is None:
        assert wanted.of_rows(100, 10, 1.0, alike=True).most == 10
    else:
        with pytest.raises(ValueError, match=words):
            wanted.of_rows(100, 10, 1.0, alike=True)
