"""Sums over an epoch, on one worker and on several."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist

from algos.distributed.epoch_sums import EpochSums


def test_only_what_was_exchanged_is_the_total():
    sums = EpochSums(2)
    sums.add(torch.tensor([1.0, 2.0]))
    assert sums.total.tolist() == [0, 0]
    sums.exchange()
    sums.add(torch.tensor([10.0, 0.0]))
    assert sums.total.tolist() == [1, 2]
    sums.exchange()
    assert sums.take().tolist() == [11, 2]
    assert sums.take().tolist() == [0, 0]


def test_the_total_is_the_state():
    sums, other = EpochSums(2, 3), EpochSums(2, 3)
    sums.add(torch.arange(6.0).reshape(2, 3))
    sums.exchange()
    assert list(sums.state_dict()) == ["total"]
    other.load_state_dict(sums.state_dict())
    assert torch.equal(other.take(), torch.arange(6.0, dtype=torch.float64).reshape(2, 3))


def test_rows_are_counted_exactly_beyond_what_float32_holds():
    sums = EpochSums(1)
    sums.add(torch.tensor(2.0**24))
    for _ in range(3):
        sums.add(torch.ones(1))
    sums.exchange()
    assert sums.take().item() == 2**24 + 3


def _add_in_two_parts() -> list[list[float]]:
    sums, mine = EpochSums(2), torch.tensor([1.0, dist.get_rank() + 1.0])
    totals = []
    for _ in range(2):
        sums.add(mine)
        sums.exchange()
        totals.append(sums.total.tolist())
    return totals


@pytest.mark.parametrize("workers", [2, 3])
def test_every_worker_has_the_sum_of_all_and_counts_it_once(gloo, workers):
    ranks = sum(range(1, workers + 1))
    assert gloo(workers, _add_in_two_parts) == [[[workers, ranks], [2 * workers, 2 * ranks]]] * workers
