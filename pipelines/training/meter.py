"""Figures between two log points, gathered without asking the device at each step."""

from __future__ import annotations

import math
import time
from typing import Any

import torch
from torch import Tensor, nn

from algos.distributed.collectives import sum_over_workers
from algos.distributed.epoch_sums import EpochSums
from pipelines.errors import UserError
from pipelines.tracking import figures as names

LOWER = "start a new run with a lower optimizer.lr, with optimizer.clip_norm, or with precision fp32 or bf16"


class Meter:
    """Mean loss and norm of the gradient, rate and mean share of time spent waiting for data, over all workers.

    Args:
        device: where losses are.
        remedy: what to do about what is not finite.
    """

    def __init__(self, device: torch.device, remedy: str = LOWER) -> None:
        self._remedy = remedy
        self._window, self._epoch = EpochSums(2).to(device), EpochSums(2).to(device)  # of losses times rows, and of rows
        self._gradients = EpochSums(2).to(device)  # of their norms, and of steps
        self._clocked_rows, self._waited = 0, 0.0
        self._since = time.monotonic()

    def add(self, loss: Tensor, rows: int) -> None:
        """Count a micro-batch's mean loss."""
        loss = loss.detach().double()
        sums = torch.stack([loss * rows, torch.full_like(loss, rows)])
        self._window.add(sums)
        self._epoch.add(sums)
        self._clocked_rows += rows

    def add_gradient(self, norm: Tensor) -> None:
        """Count a step's norm of the gradient, 0-D; one that overflowed in fp16, whose step is skipped, is left out."""
        norm = norm.detach().double()
        counts = norm.isfinite()
        self._gradients.add(torch.stack([norm.where(counts, 0.0), counts.double()]))

    def waited(self, seconds: float) -> None:
        """Count time that the device had no batch."""
        self._waited += seconds

    def read(self, step: int) -> dict[str, float]:
        """Figures since the last call; all workers call it together.

        Raises:
            UserError: when the loss is not finite.
        """
        figures = {names.LOSS: self._take_mean(self._window, step)}
        self._gradients.exchange()
        total, steps = self._gradients.take().tolist()
        if steps:
            figures[names.GRADIENT_NORM] = total / steps
        seconds = time.monotonic() - self._since
        mine = torch.tensor([self._clocked_rows / seconds, self._waited / seconds, 1.0], dtype=torch.float64)
        rate, waited, workers = sum_over_workers(mine).tolist()
        figures |= {names.IMAGES_PER_SECOND: rate, names.WAIT_SHARE: waited / workers}
        self.restart_clock()
        return figures

    def read_epoch(self, step: int) -> float:
        """Mean loss of the epoch, which ends here; all workers call it together.

        Raises:
            UserError: when the loss is not finite, so that no checkpoint of it pushes out a sound one.
        """
        return self._take_mean(self._epoch, step)

    def exchange(self, step: int) -> None:
        """Make the sums ready to be saved; all workers call it together.

        Raises:
            UserError: when the loss is not finite, so that no checkpoint of it pushes out a sound one.
        """
        self._window.exchange()
        self._epoch.exchange()
        self._gradients.exchange()
        self._mean(self._epoch.total, step)

    def restart_clock(self) -> None:
        """Leave out what happened since the last `read`, for example an evaluation."""
        self._waited, self._since, self._clocked_rows = 0.0, time.monotonic(), 0

    def state_dict(self) -> dict[str, Any]:
        """Sums of losses as of the last `exchange`; rates and times are of a process and not kept."""
        parts = {"window": self._window, "epoch": self._epoch, "gradients": self._gradients}
        return {name: sums.state_dict() for name, sums in parts.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._window.load_state_dict(state["window"])
        self._epoch.load_state_dict(state["epoch"])
        if "gradients" in state:  # which older checkpoints lack
            self._gradients.load_state_dict(state["gradients"])

    def check_weights(self, network: nn.Module, step: int) -> None:
        """Refuse a network that the last step broke, before it is saved: that step's loss was of the weights before it.

        Raises:
            UserError: for a weight that is not finite.
        """
        weights = dict(network.named_parameters())
        finite = torch.stack([weight.isfinite().all() for weight in weights.values()]).tolist()
        if broken := next((name for name, is_finite in zip(weights, finite, strict=True) if not is_finite), None):
            raise UserError(f"{broken} of the network is not finite after step {step}; {self._remedy}")

    def _take_mean(self, sums: EpochSums, step: int) -> float:
        """The mean of what all workers have added, which starts anew unless it is refused."""
        sums.exchange()
        mean = self._mean(sums.total, step)
        sums.take()
        return mean

    def _mean(self, sums: Tensor, step: int) -> float:
        total, rows = sums.tolist()
        if not math.isfinite(total):
            raise UserError(f"the loss is {total} at step {step}; {self._remedy}")
        return float(total / max(rows, 1))
