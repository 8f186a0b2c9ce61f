"""Sums of the micro-batches of a global batch."""

from __future__ import annotations

import torch
import torch.distributed as dist

from algos.distributed.batch_sums import BatchSums


def test_micro_batches_add_up_until_the_batch_is_closed():
    sums = BatchSums()
    sums.add(values=torch.tensor([1.0, 2.0]), rows=torch.tensor(2.0))
    total = sums.add(values=torch.tensor([10.0, 20.0]), rows=torch.tensor(3.0))
    assert (total["values"].tolist(), float(total["rows"])) == ([11.0, 22.0], 5.0)
    assert (sums.latest["values"].tolist(), float(sums.latest["rows"])) == ([10.0, 20.0], 3.0)
    sums.clear()
    assert sums.add(values=torch.tensor([4.0, 5.0]), rows=torch.tensor(1.0))["values"].tolist() == [4.0, 5.0]


def test_what_is_added_has_no_gradient_and_is_left_alone():
    given = torch.ones(2, requires_grad=True)
    sums = BatchSums()
    assert not sums.add(values=given)["values"].requires_grad
    sums.add(values=given)
    assert given.tolist() == [1.0, 1.0]


def _add_twice() -> tuple[float, float]:
    sums = BatchSums()
    for rows in (1.0, 2.0):
        sums.add(rows=torch.tensor(rows + dist.get_rank()))
    return float(sums.latest["rows"]), float(sums.total["rows"])


def test_every_worker_has_the_sums_of_all(gloo):
    assert gloo(2, _add_twice) == [(5.0, 8.0), (5.0, 8.0)]
