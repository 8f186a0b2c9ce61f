"""The Lagrangian bound."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import bound_objective
from tests.helpers.oracle import best_total
from tests.helpers.price_tables import lookup


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(0, 10_000), st.sampled_from([0.0, 0.1, 1.0, 4.0]))
def test_any_prices_bound_the_optimum(clusters, extra, seed, scale):
    generator = torch.Generator().manual_seed(seed)
    n = clusters + extra
    least = n // clusters
    table = torch.randn(n, clusters, generator=generator, dtype=torch.float64)
    prices = scale * torch.rand(clusters, generator=generator, dtype=torch.float64)
    labels = torch.arange(n) % clusters
    achieved, bound = bound_objective(lookup(table), labels, prices, SizeBounds.of(least, None, clusters))
    assert achieved == pytest.approx(float(table.gather(1, labels[:, None]).sum()))
    assert achieved <= best_total(table.numpy(), least) + 1e-9 <= bound + 2e-9
