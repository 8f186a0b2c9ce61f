"""The collectives on real processes, and without any."""

from __future__ import annotations

import torch
import torch.distributed as dist

from algos.distributed.collectives import begin_sum, is_distributed, mean_over_workers, one_worker_at_a_time, sum_over_workers


def test_one_process_is_its_own_sum_mean_and_share():
    rows = torch.arange(6.0).reshape(3, 2)
    assert not is_distributed()
    assert begin_sum(rows).wait() is rows
    assert sum_over_workers(rows) is rows
    assert mean_over_workers(rows) is rows
    assert [part is rows for part in one_worker_at_a_time(rows)] == [True]


def _collectives() -> tuple[bool, float, float, list[list[list[int]]]]:
    rank = dist.get_rank()
    rows = torch.full((rank, 2), rank)  # rank 0 has none
    shares = [share.tolist() for share in one_worker_at_a_time(rows)]
    total, mean = sum_over_workers(torch.tensor(float(rank))), mean_over_workers(torch.tensor(float(rank)))
    return is_distributed(), total.item(), mean.item(), shares


def test_every_worker_gets_sum_mean_and_each_ones_rows_in_the_order_of_ranks(gloo):
    expected = (True, 3.0, 1.0, [[], [[1, 1]], [[2, 2], [2, 2]]])
    assert gloo(3, _collectives) == [expected] * 3
