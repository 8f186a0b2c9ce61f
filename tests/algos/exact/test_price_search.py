"""What price search counts, and how near it comes."""

from __future__ import annotations

import torch

from algos.exact.price_search import adapt_prices, candidates, misplaced
from algos.exact.signed_prices import SizeBounds
from tests.helpers.inputs.price_tables import lookup, zeros


def test_imbalance_counts_surplus_only_where_a_price_holds_it():
    counts = torch.tensor([5, 5, 1])
    assert SizeBounds.of(3, None, 3).imbalance(counts, torch.tensor([0.0, 0.2, 0.0])).tolist() == [0, -2, 2]


def test_price_search_leaves_few_rows_out_of_place():
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(3000, 10, generator=generator, dtype=torch.float64) + torch.linspace(0, 2, 10)
    indices = torch.arange(10).repeat(3000, 1)
    prices = adapt_prices(table, indices, zeros(10), SizeBounds.of(270, None, 10))
    before = misplaced(table.argmax(dim=1), zeros(10), SizeBounds.of(270, None, 10))
    after = misplaced((table + prices).argmax(dim=1), prices, SizeBounds.of(270, None, 10))
    assert before > 500
    assert after < 30


def test_a_cluster_that_no_list_holds_does_not_win_most_rows_unseen():
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(300, 20, generator=generator, dtype=torch.float64)
    table += torch.linspace(0.5, 0, 20)  # prices must rise for sizes to come near
    table[:, -1] -= 1.0
    values, indices = candidates(lookup(table), 300, zeros(20))
    assert not bool((indices == 19).any())
    prices = adapt_prices(values, indices, zeros(20), SizeBounds.of(13, None, 20))
    assert float(prices[19]) > 0
    assert int((table + prices).argmax(dim=1).bincount(minlength=20)[19]) < 150
