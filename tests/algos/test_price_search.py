"""What price search counts, and how near it comes."""

from __future__ import annotations

import torch

from algos.price_search import adapt_prices, imbalance, misplaced
from tests.algos.tables import zeros


def test_imbalance_counts_surplus_only_where_a_price_holds_it():
    counts = torch.tensor([5, 5, 1])
    assert imbalance(counts, torch.tensor([0.0, 0.2, 0.0]), torch.full((3,), 3)).tolist() == [0, -2, 2]


def test_price_search_leaves_few_rows_out_of_place():
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(3000, 10, generator=generator, dtype=torch.float64) + torch.linspace(0, 2, 10)
    indices = torch.arange(10).repeat(3000, 1)
    prices = adapt_prices(table, indices, zeros(10), torch.full((10,), 270))
    before = misplaced(table.argmax(dim=1), zeros(10), torch.full((10,), 270))
    after = misplaced((table + prices).argmax(dim=1), prices, 270)
    assert before > 500
    assert after < 30
