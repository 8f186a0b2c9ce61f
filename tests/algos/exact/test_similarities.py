"""The best clusters of rows."""

from __future__ import annotations

import pytest
import torch

from algos.exact.similarities import best_clusters


@pytest.mark.parametrize("clusters", [5, 300, 1000, 1003])  # the last two in groups, of which one is shorter
def test_the_best_clusters_are_those_of_a_sort(clusters):
    priced = torch.randn(200, clusters, generator=torch.Generator().manual_seed(0))
    assert torch.equal(best_clusters(priced, 4), priced.argsort(dim=1, descending=True)[:, :4])


def test_the_best_of_one_group_are_all_found():
    priced = torch.zeros(1, 1000)
    priced[0, 7::125] = torch.arange(1.0, 9.0)  # the eight clusters of group 7
    assert best_clusters(priced, 8)[0].tolist() == list(range(882, 0, -125))
