"""Threads share the rows of a batch: the same bits as one thread gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.kmeans import row_threads
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from algos.kmeans.row_threads import RowThreads


@pytest.mark.parametrize(("rows", "dim"), [(1, 8), (700, 100), (4099, 64), (1500, 768)])
def test_any_number_of_threads_gives_the_same_labels_and_similarities(rows, dim, monkeypatch):
    monkeypatch.setattr(row_threads, "LEAST_ROWS", 64)
    kmeans = OnlineConstrainedKMeans([50, 7], dim, seed=1)
    kmeans.duals.copy_(torch.linspace(0, 0.1, 57))
    batch = F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = kmeans.assign(batch)
    for count in (1, 3):
        threads = RowThreads(count)
        found, similarity = threads.label(kmeans, batch)
        threads.close()
        assert torch.equal(found, labels)
        assert torch.equal(similarity, kmeans.similarity(batch, labels))


def test_any_number_of_threads_gives_the_same_labels_on_two_levels(monkeypatch):
    monkeypatch.setattr(row_threads, "LEAST_ROWS", 64)
    generator = torch.Generator().manual_seed(0)
    parents, centers = (F.normalize(torch.randn(count, 32, generator=generator), dim=1) for count in (5, 60))
    kmeans = NestedConstrainedKMeans(parents, torch.zeros(5), torch.tensor([30, 5, 15, 1, 9]), centers)
    batch = F.normalize(torch.randn(3001, 32, generator=generator), dim=1)
    labels = kmeans.assign(batch)
    threads = RowThreads(3)
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
