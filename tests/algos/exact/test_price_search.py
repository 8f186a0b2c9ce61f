"""What price search counts, and how near it comes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.exact import price_search
from algos.exact.price_search import Lists, Start, adapt_prices, candidates, from_sample, misplaced
from algos.exact.signed_prices import SizeBounds
from benchmarks.clustering import mixture, unit
from tests.helpers.inputs.price_tables import lookup, zeros


def test_imbalance_counts_surplus_only_where_a_price_holds_it():
    counts = torch.tensor([5, 5, 1])
    assert SizeBounds.of(3, None, 3).imbalance(counts, torch.tensor([0.0, 0.2, 0.0])).tolist() == [0, -2, 2]


def test_price_search_leaves_few_rows_out_of_place():
    generator = torch.Generator().manual_seed(4)
    table = torch.randn(3000, 10, generator=generator, dtype=torch.float64) + torch.linspace(0, 2, 10)
    indices = torch.arange(10).repeat(3000, 1)
    prices = adapt_prices(
        Lists(table, indices, table.new_full((len(table),), -torch.inf)), zeros(10), SizeBounds.of(270, None, 10)
    )
    before = misplaced(table.argmax(dim=1), zeros(10), SizeBounds.of(270, None, 10))
    after = misplaced((table + prices).argmax(dim=1), prices, SizeBounds.of(270, None, 10))
    assert before > 500
    assert after < 30


def test_a_cluster_that_no_list_holds_does_not_win_most_rows_unseen():
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(300, 20, generator=generator, dtype=torch.float64)
    table += torch.linspace(0.5, 0, 20)  # prices must rise for sizes to come near
    table[:, -1] -= 1.0
    lists = candidates(lookup(table), 300, zeros(20))
    assert not bool((lists.indices == 19).any())
    prices = adapt_prices(lists, zeros(20), SizeBounds.of(13, None, 20))
    assert float(prices[19]) > 0
    assert int((table + prices).argmax(dim=1).bincount(minlength=20)[19]) < 150


@pytest.mark.parametrize("seed", range(4))  # of 1 the prices of the sample are worse, of 3 better
def test_a_sample_never_makes_the_start_worse(monkeypatch, seed):
    monkeypatch.setattr(price_search, "SAMPLED", 32_000)  # lists of 20 clusters
    rows = torch.from_numpy(unit(mixture(3000, 16, 100, seed))).double()
    centers = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:100]].clone()
    centers[:3] = F.normalize(-rows.mean(dim=0), dim=0)  # which few rows list
    table, bounds = rows @ centers.T, SizeBounds.of(18, None, 100)
    start = Start.of(lookup(table), len(rows), zeros(100), bounds)
    found = from_sample(lookup(table), start, bounds)
    assert found.misplaced < start.misplaced or found is start
    assert found.misplaced == misplaced((table + found.prices).argmax(dim=1), found.prices, bounds)
