"""Batches on their way to a GPU while it works on those before."""

from __future__ import annotations

import pytest
import torch

from pipelines.stream.transfer import on_device

pytestmark = pytest.mark.gpu

STEPS, SIDE = 12, 2048


def test_each_batch_is_whole_when_it_is_used_and_until_it_was(gpu, no_waiting):
    host = [torch.full((SIDE, SIDE), float(step)).pin_memory() for step in range(STEPS)]
    slow = torch.eye(SIDE, device=gpu)

    def move(step: int, batch: torch.Tensor) -> torch.Tensor:
        moved = batch.to(gpu, non_blocking=True)
        for _ in range(5):
            moved = moved @ slow
        return moved + 1  # in memory that batches before have had

    torch.cuda.synchronize()
    sums = []
    with no_waiting():
        for step, batch in on_device(enumerate(host), move, gpu):
            work = batch
            for _ in range(5):
                work = work @ slow
            sums.append((step, (work - batch).abs().max(), batch.sum()))
    for step, off, total in sums:
        assert float(off) == 0
        assert float(total) == (step + 1) * SIDE * SIDE
    assert [step for step, *_ in sums] == list(range(STEPS))
