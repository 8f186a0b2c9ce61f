"""Sums over the rows of the global batch under way, which a step waits for."""

from __future__ import annotations

import torch
from torch import Tensor

from algos.distributed.collectives import sum_over_workers


class BatchSums:
    """Named sums over the rows of a global batch: of all workers, and of the micro-batches so far.

    Attributes:
        latest: all workers' sums of the last call alone.
        total: of all calls since `clear`; with gradient accumulation the later micro-batches are not computed yet.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Tensor] = {}
        self.total: dict[str, Tensor] = {}

    @torch.no_grad()
    def add(self, **values: Tensor) -> dict[str, Tensor]:
        """Add this worker's sums, of the same names and shapes at each call, as one message; returns `total`."""
        message = sum_over_workers(torch.cat([value.reshape(-1) for value in values.values()]))
        parts = message.split([value.numel() for value in values.values()])
        self.latest = {name: part.view(value.shape) for (name, value), part in zip(values.items(), parts, strict=True)}
        self.total = {name: self.total[name] + part for name, part in self.latest.items()} if self.total else self.latest
        return self.total

    def clear(self) -> None:
        """Begin the next global batch."""
        self.latest, self.total = {}, {}
