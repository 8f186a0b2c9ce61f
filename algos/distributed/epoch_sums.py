"""Sums over an epoch that every worker adds its own rows to, and all workers share now and then."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.distributed.collectives import sum_over_workers


class EpochSums(nn.Module):
    """Zero at first; `total` is all workers' as of the last `exchange`, and the state.

    Sums are float64, which counts rows exactly, however many there are.

    Args:
        shape: of the sums.
    """

    total: Tensor
    here: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("total", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("here", torch.zeros(shape, dtype=torch.float64), persistent=False)  # of this worker since `exchange`

    @torch.no_grad()
    def add(self, values: Tensor) -> None:
        """Add this worker's."""
        self.here += values

    @torch.no_grad()
    def exchange(self) -> None:
        """Add what all workers have added since the last call. All workers call it together."""
        self.total += sum_over_workers(self.here)
        self.here.zero_()

    def take(self) -> Tensor:
        """The epoch's total; the next epoch's starts at zero."""
        total = self.total.clone()
        self.total.zero_()
        return total
