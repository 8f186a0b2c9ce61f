"""Threads share the rows of a batch: the same bits as one thread gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.kmeans import row_threads
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from algos.kmeans.row_threads import RowThreads


def unit(rows, dim, seed=0):
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def flat(dim):
    kmeans = OnlineConstrainedKMeans([50, 7], dim, seed=1)
    kmeans.duals.copy_(torch.linspace(0, 0.1, 57))
    return kmeans


def nested(dim):
    return NestedConstrainedKMeans(unit(5, dim, 1), torch.zeros(5), torch.tensor([30, 5, 15, 1, 9]), unit(60, dim, 2))


@pytest.mark.parametrize(
    ("made", "rows", "dim"), [(flat, 1, 8), (flat, 700, 100), (flat, 4099, 64), (flat, 1500, 768), (nested, 3001, 32)]
)
def test_any_number_of_threads_gives_the_same_labels_and_similarities(made, rows, dim, monkeypatch):
    monkeypatch.setattr(row_threads, "LEAST_ROWS", 64)
    kmeans, batch = made(dim), unit(rows, dim)
    labels = kmeans.assign(batch)
    for count in (1, 3):
        threads = RowThreads(count)
        found, similarity = threads.label(kmeans, batch)
        threads.close()
        assert torch.equal(found, labels)
        assert torch.equal(similarity, kmeans.similarity(batch, labels))


def test_pieces_are_even_and_no_larger_than_memory_is_meant_to_be(monkeypatch):
    monkeypatch.setattr(row_threads, "MOST_NUMBERS", 10_000)
    assert RowThreads(1)._pieces(1000, 100) == 10
    threads = RowThreads(2)
    assert (threads._pieces(1000, 10), threads._pieces(100, 10), threads._pieces(100_000, 1)) == (3, 1, 10)
    assert (threads._pieces(1000, 10, 500), threads._pieces(1000, 10, 5000)) == (2, 1)
    threads.close()
