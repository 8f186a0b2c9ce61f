"""Clusters of two clusterings are matched by the rows that they share."""

from __future__ import annotations

import numpy as np
import pytest

from algos import cluster_overlap
from algos.cluster_overlap import match_clusters


def test_the_matching_shares_as_many_rows_as_any_can():
    # Shared rows:     0  1
    #               0  3  2      the largest entry first gives 3 + 0, the best matching 2 + 2
    #               1  2  0
    first = np.array([0, 0, 0, 0, 0, 1, 1])
    second = np.array([0, 0, 0, 1, 1, 0, 0])
    found = match_clusters(first, second, (2, 2))
    assert (found.pairs.tolist(), found.shared.tolist()) == ([[0, 1], [1, 0]], [2, 2])
    assert found.shared_share == 4 / 7
    assert (found.first_purity, found.second_purity) == (5 / 7, 5 / 7)  # 3 + 2; 3 + 2


def test_a_renaming_is_found_whole():
    first = np.array([0, 1, 1, 2, 2, 2])
    found = match_clusters(first, np.array([2, 0, 1])[first], (3, 3))
    assert found.pairs.tolist() == [[2, 1], [1, 0], [0, 2]]
    assert (found.shared.tolist(), found.shared_share, found.first_purity) == ([3, 2, 1], 1.0, 1.0)


def test_clusters_without_a_partner_are_known_also_those_without_rows():
    first = np.array([0, 0, 1, 1, 3])  # 2 is empty
    second = np.array([1, 1, 1, 1, 0])
    found = match_clusters(first, second, (4, 3))
    assert found.pairs.tolist() == [[0, 1], [3, 0]]
    assert [found.unmatched(side).tolist() for side in (0, 1)] == [[1, 2], [2]]
    assert (found.first_sizes.tolist(), found.second_sizes.tolist(), found.rows) == ([2, 2, 0, 1], [1, 4, 0], 5)
    assert (found.first_purity, found.second_purity) == (1.0, 3 / 5)


def test_clusters_that_share_nothing_are_no_pair():
    found = match_clusters(np.array([0, 0, 1]), np.array([0, 0, 0]), (2, 2))
    assert found.pairs.tolist() == [[0, 0]]
    assert [found.unmatched(side).tolist() for side in (0, 1)] == [[1], [1]]


@pytest.mark.parametrize(
    ("first", "second", "clusters", "said"),
    [
        ([], [], (1, 1), "of the same rows, at least one, got 0 and 0"), ([0], [0, 0], (1, 1), "got 1 and 2"),
        ([2], [0], (2, 1), "outside 0 to 1"), ([0], [-1], (1, 1), "outside 0 to 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_matched_is_refused(first, second, clusters, said):
    with pytest.raises(ValueError, match=said):
        match_clusters(np.array(first, int), np.array(second, int), clusters)


def test_too_many_clusters_are_refused_before_the_table_is_made(monkeypatch):
    monkeypatch.setattr(cluster_overlap, "MOST_PAIRS", 5)
    rows = np.arange(3)
    with pytest.raises(ValueError, match="3 x 3 clusters are more than the 5 pairs"):
        match_clusters(rows, rows, (3, 3))
    assert match_clusters(rows[:2], rows[:2], (1000, 1000)).pairs.tolist() == [[0, 0], [1, 1]]  # empty ones do not count
