"""Figures between two log points, gathered without asking the device at each step."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from algos.distributed import sum_over_workers
from pipelines.errors import UserError


class Meter:
    """Mean loss, rate and share of time spent waiting for data, over all workers.

    Args:
        device: where losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._window = torch.zeros(2, dtype=torch.float64, device=device)  # sum of loss * rows, rows
        self._epoch = torch.zeros(2, dtype=torch.float64, device=device)
        self._waited = 0.0
        self._since = time.monotonic()

    def add(self, loss: Tensor, rows: int) -> None:
        """Count a micro-batch's mean loss."""
        update = torch.stack([loss.detach().double() * rows, loss.new_tensor(rows, dtype=torch.float64)])
        self._window += update
        self._epoch += update

    def waited(self, seconds: float) -> None:
        """Count time that the device had no batch."""
        self._waited += seconds

    def read(self, step: int) -> dict[str, float]:
        """Figures since the last call; all workers call it together.

        Raises:
            UserError: when the loss is not finite.
        """
        total, rows = sum_over_workers(self._window).tolist()
        seconds = time.monotonic() - self._since
        figures = {
            "loss": total / max(rows, 1),
            "images_per_second": rows / seconds,
            "data_wait_share": self._waited / seconds,
        }
        self._window.zero_()
        self._waited, self._since = 0.0, time.monotonic()
        if not math.isfinite(total):
            raise UserError(f"the loss is {figures['loss']} at step {step}; lower optimizer.lr, or use precision fp32 or bf16")
        return figures

    def read_epoch(self) -> float:
        """Mean loss of the epoch so far (of its part since a resume); all workers call it together."""
        total, rows = sum_over_workers(self._epoch).tolist()
        self._epoch.zero_()
        return float(total / max(rows, 1))

    def restart_clock(self) -> None:
        """Leave out what happened since the last `read`, for example an evaluation."""
        self._waited, self._since = 0.0, time.monotonic()
