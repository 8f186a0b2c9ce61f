"""An exponential mean that takes one value a global batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RunningMean(nn.Module):
    """Mean over the batches, the later ones weighing more: value <- momentum * value + (1 - momentum) * batch.

    Args:
        start: its value before the first batch.
        momentum: what is kept of the value at each batch [a].
    """

    value: Tensor

    def __init__(self, start: Tensor, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("value", start)
        self._next: Tensor | None = None

    def with_batch(self, batch: Tensor) -> Tensor:
        """The mean with the batch under way, whose own mean so far is `batch`."""
        self._next = self.momentum * self.value + (1 - self.momentum) * batch
        return self._next

    def finish(self) -> None:
        """Close the global batch."""
        if self._next is not None:
            self.value, self._next = self._next, None


def equal_shares(num_classes: int) -> Tensor:
    """1 / C for each class, (C,)."""
    return torch.full((num_classes,), 1 / num_classes)
