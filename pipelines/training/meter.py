"""Figures between two log points, gathered without asking the device at each step."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor

from algos.distributed.collectives import sum_over_workers
from pipelines.errors import UserError
from pipelines.tracking import figures as names


class LossSum:
    """Loss times rows, and rows: of this worker since the last `exchange`, and of all workers until then.

    Args:
        device: where losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._here, self._rows = torch.zeros((), dtype=torch.float64, device=device), 0
        self._before = torch.zeros(2, dtype=torch.float64)

    def add(self, total: Tensor, rows: int) -> None:
        """Count a micro-batch's sum."""
        self._here += total
        self._rows += rows

    def exchange(self) -> Tensor:
        """Add what all workers have added since the last call; returns both sums (2,) of all. All workers call it together."""
        self._before += sum_over_workers(torch.tensor([float(self._here), float(self._rows)], dtype=torch.float64))
        self._here.zero_()
        self._rows = 0
        return self._before.clone()

    def restart(self) -> None:
        """Begin anew."""
        self._before.zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """The sums of all workers as of the last `exchange`."""
        return {"sums": self._before.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from there."""
        self._before.copy_(state["sums"])


class Meter:
    """Mean loss, rate and share of time spent waiting for data, over all workers.

    Args:
        device: where losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._window, self._epoch = LossSum(device), LossSum(device)
        self._clocked_rows, self._waited = 0, 0.0
        self._since = time.monotonic()

    def add(self, loss: Tensor, rows: int) -> None:
        """Count a micro-batch's mean loss."""
        total = loss.detach().double() * rows
        self._window.add(total, rows)
        self._epoch.add(total, rows)
        self._clocked_rows += rows

    def waited(self, seconds: float) -> None:
        """Count time that the device had no batch."""
        self._waited += seconds

    def read(self, step: int) -> dict[str, float]:
        """Figures since the last call; all workers call it together.

        Raises:
            UserError: when the loss is not finite.
        """
        figures = {names.LOSS: _mean(self._window.exchange(), step)}
        seconds = time.monotonic() - self._since
        clocked = sum_over_workers(torch.tensor(float(self._clocked_rows))).item()
        figures |= {names.IMAGES_PER_SECOND: clocked / seconds, names.WAIT_SHARE: self._waited / seconds}
        self._window.restart()
        self.restart_clock()
        return figures

    def read_epoch(self, step: int) -> float:
        """Mean loss of the epoch, which ends here; all workers call it together.

        Raises:
            UserError: when the loss is not finite, so that no checkpoint of it pushes out a sound one.
        """
        mean = _mean(self._epoch.exchange(), step)
        self._epoch.restart()
        return mean

    def exchange(self, step: int) -> None:
        """Make the sums ready to be saved; all workers call it together.

        Raises:
            UserError: when the loss is not finite, so that no checkpoint of it pushes out a sound one.
        """
        self._window.exchange()
        _mean(self._epoch.exchange(), step)

    def restart_clock(self) -> None:
        """Leave out what happened since the last `read`, for example an evaluation."""
        self._waited, self._since, self._clocked_rows = 0.0, time.monotonic(), 0

    def state_dict(self) -> dict[str, Any]:
        """Sums of losses as of the last `exchange`; rates and times are of a process and not kept."""
        return {"window": self._window.state_dict(), "epoch": self._epoch.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._window.load_state_dict(state["window"])
        self._epoch.load_state_dict(state["epoch"])


def _mean(sums: Tensor, step: int) -> float:
    total, rows = sums.tolist()
    if not math.isfinite(total):
        raise UserError(
            f"the loss is {total} at step {step}; start a new run with a lower optimizer.lr, or with precision fp32 or bf16"
        )
    return float(total / max(rows, 1))
