"""Prices in the middle of what is optimal."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from algos.exact.middle_prices import middle_prices


def test_a_price_between_two_arcs_goes_halfway():
    # Node 0 may rise by 3 against node 1, which stays, and fall by 1.
    slack = sparse.csr_matrix(([3.0, 1.0], ([1, 0], [0, 1])), shape=(2, 2))
    np.testing.assert_allclose(middle_prices(slack, np.zeros(2)), [1.0, 0.0], atol=1e-9)


def test_no_arc_of_a_chain_stays_tight():
    # 0 -> 1 -> 2 without slack, with 4 on the way back: every arc is strict afterwards, and none is broken.
    slack = sparse.csr_matrix(([0.0, 0.0, 4.0, 4.0], ([0, 1, 1, 2], [1, 2, 0, 1])), shape=(3, 3))
    prices = middle_prices(slack, np.array([1.0, 1.0, 1.0]))
    assert prices[2] == 1.0
    left = slack.tocoo()
    assert (left.data + prices[left.row] - prices[left.col] > 0.5).all()
