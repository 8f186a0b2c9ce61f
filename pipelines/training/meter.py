"""Figures between two log points, gathered without asking the device at each step."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from algos.distributed.collectives import sum_over_workers
from pipelines.errors import UserError
from pipelines.tracking import figures as names


class Meter:
    """Mean loss, rate and share of time spent waiting for data, over all workers.

    Args:
        device: where losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._window = torch.zeros((), dtype=torch.float64, device=device)  # sum of loss * rows
        self._epoch = torch.zeros((), dtype=torch.float64, device=device)
        self._window_rows = self._epoch_rows = self._clocked_rows = 0
        self._waited = 0.0
        self._since = time.monotonic()

    def add(self, loss: Tensor, rows: int) -> None:
        """Count a micro-batch's mean loss."""
        total = loss.detach().double() * rows
        self._window += total
        self._epoch += total
        self._window_rows += rows
        self._epoch_rows += rows
        self._clocked_rows += rows

    def waited(self, seconds: float) -> None:
        """Count time that the device had no batch."""
        self._waited += seconds

    def read(self, step: int) -> dict[str, float]:
        """Figures since the last call; all workers call it together.

        Raises:
            UserError: when the loss is not finite.
        """
        figures = {names.LOSS: self._mean(self._window, self._window_rows, step)}
        seconds = time.monotonic() - self._since
        clocked = sum_over_workers(torch.tensor(float(self._clocked_rows))).item()
        figures |= {names.IMAGES_PER_SECOND: clocked / seconds, names.WAIT_SHARE: self._waited / seconds}
        self._window.zero_()
        self._window_rows = 0
        self.restart_clock()
        return figures

    def read_epoch(self, step: int, *, close: bool) -> float:
        """Mean loss of the epoch so far (of its part since a resume); all workers call it together.

        Args:
            step: for the message.
            close: whether the epoch ends here.

        Raises:
            UserError: when the loss is not finite, so that no checkpoint of it pushes out a sound one.
        """
        mean = self._mean(self._epoch, self._epoch_rows, step)
        if close:
            self._epoch.zero_()
            self._epoch_rows = 0
        return mean

    def restart_clock(self) -> None:
        """Leave out what happened since the last `read`, for example an evaluation."""
        self._waited, self._since, self._clocked_rows = 0.0, time.monotonic(), 0

    def _mean(self, total: Tensor, rows: int, step: int) -> float:
        summed, count = sum_over_workers(torch.tensor([float(total), float(rows)], dtype=torch.float64)).tolist()
        if not math.isfinite(summed):
            raise UserError(
                f"the loss is {summed} at step {step}; start a new run with a lower optimizer.lr, or with precision fp32 or bf16"
            )
        return float(summed / max(count, 1))
