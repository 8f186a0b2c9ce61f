"""Chains of near-duplicates end at the row that is kept."""

from __future__ import annotations

import numpy as np

from pipelines.curation.duplicates.groups import group_sizes, kept_ends


def test_a_chain_a_star_and_a_pair_are_three_groups():
    # 3 <- 4 <- 5 <- 6 is a chain, 0 <- 1, 2, 9 a star, 8 <- 7 a pair
    places, earlier = np.array([1, 2, 4, 5, 6, 7, 9]), np.array([0, 0, 3, 4, 5, 8, 0])
    ends = kept_ends(places, earlier)
    assert ends.tolist() == [0, 0, 3, 3, 3, 8, 0]
    assert group_sizes(ends).tolist() == [4, 4, 4, 4, 4, 2, 4]


def test_a_long_chain_ends_where_it_began():
    places = np.arange(1, 5000)
    assert (kept_ends(places, places - 1) == 0).all()
    none = np.empty(0, np.int64)
    assert len(group_sizes(kept_ends(none, none))) == 0
