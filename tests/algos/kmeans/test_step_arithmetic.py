"""The arithmetic of a step, by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.kmeans import step_arithmetic
from algos.kmeans.step_arithmetic import add_statistics, ascend, ascend_above, assign, move, priced_similarities


def test_assign_adds_the_price_before_it_compares():
    centers = torch.eye(2)
    rows = torch.tensor([[0.8, 0.6]])
    assert assign(priced_similarities(rows, centers, torch.zeros(2))).tolist() == [0]
    assert assign(priced_similarities(rows, centers, torch.tensor([0.0, 0.3]))).tolist() == [1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_few_and_many_threads_choose_the_first_of_equal_clusters(monkeypatch, dtype):
    similarities = torch.randint(0, 4, (200, 30), generator=torch.Generator().manual_seed(0)).to(dtype)
    first = [row.index(max(row)) for row in similarities.tolist()]
    assert assign(similarities).tolist() == first
    assert assign(similarities.repeat(1, 2)[:, 30:]).tolist() == first  # a head among others
    monkeypatch.setattr(step_arithmetic, "FEW_THREADS", 0)
    assert assign(similarities).tolist() == first


def statistics_of(rows, labels, clusters):
    statistics = torch.zeros(clusters, rows.shape[1] + 1, dtype=torch.float64)
    add_statistics(statistics, rows, labels)
    return statistics


def test_statistics_are_sums_of_rows_with_their_number_in_the_last_column():
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    statistics = statistics_of(rows, torch.tensor([2, 0, 2]), 3)
    assert statistics.tolist() == [[0.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.5, 0.5, 2.0]]
    add_statistics(statistics, rows[:1], torch.tensor([0, 1]), torch.tensor([0.5]))  # two heads, half a row
    assert statistics.tolist() == [[0.5, 1.0, 1.5], [0.5, 0.0, 0.5], [1.5, 0.5, 2.0]]


def test_statistics_do_not_depend_on_the_order_of_the_rows():
    random = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(5000, 16, generator=random), dim=1)
    labels, order = torch.randint(0, 7, (5000,), generator=random), torch.randperm(5000, generator=random)
    statistics = statistics_of(rows, labels, 7)
    assert torch.equal(statistics, statistics_of(rows[order], labels[order], 7))
    halves = [statistics_of(rows[half], labels[half], 7) for half in order.chunk(2)]
    assert torch.equal(statistics, halves[0] + halves[1])


def test_ascend_by_hand():
    # K = 2, min share .2: the hit cluster (share 1) falls by lambda * .8, the other rises by lambda * .2.
    args = (torch.tensor([0.5, 0.0]), torch.tensor([1.0, 0.0]), torch.tensor([0.2, 0.2]), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(ascend(*args, equality=False), torch.tensor([0.0, 0.2]))
    torch.testing.assert_close(ascend(*args, equality=True), torch.tensor([-0.3, 0.2]))


def test_ascend_above_by_hand():
    # K = 2, max share .5: the hit cluster (share 1) rises by lambda * .5, the other falls by as much, and not below zero.
    args = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.5]), torch.tensor([1.0, 1.0])
    torch.testing.assert_close(ascend_above(torch.tensor([0.1, 0.7]), *args), torch.tensor([0.6, 0.2]))
    torch.testing.assert_close(ascend_above(torch.tensor([0.1, 0.3]), *args), torch.tensor([0.6, 0.0]))


def test_move_by_hand():
    centers = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    seen, counts = torch.tensor([1.0, 0.0, 3.0]), torch.tensor([1.0, 2.0, 0.0])
    sums = torch.tensor([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]])
    moved = move(centers, seen, counts, sums)
    half = 0.5**0.5
    # mean of old and new; a first hit replaces the old center; no hit keeps it.
    torch.testing.assert_close(moved, torch.tensor([[half, half], [1.0, 0.0], [0.6, 0.8]]))
    torch.testing.assert_close(move(centers, seen, counts, sums, normalize=False)[0], torch.tensor([0.5, 0.5]))
