"""What a rule of confidence is asked, and what it answers.

Shapes: B unlabelled rows of this worker, C classes. A rule knows pseudo-labels, and neither images nor networks. What it
learns is over all workers, and the same on each of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

Columns = Mapping[str, tuple[int, torch.dtype]]  # of `algos.methods.instance_memory.InstanceMemory`


@dataclass(frozen=True)
class Evidence:
    """What a rule judges by.

    Attributes:
        guesses: (B, C) float32 probabilities: pseudo-labels as they are compared with a threshold.
        labelled_confidence: scalar, mean of the largest probability over the labelled rows of the global batch.
        remembered: of each of the rule's columns (1, B) int64, what the rows' instances had before this epoch.
    """

    guesses: Tensor
    labelled_confidence: Tensor
    remembered: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Trust:
    """How far the rows are trusted.

    Attributes:
        weights: (B,) float32 in [0, 1], how much each row counts.
        thresholds: (B,) or scalar, the probability from which on a row counts whole.
        remembered: of each of the rule's columns (1, B), what the rows' instances have from now on.
    """

    weights: Tensor
    thresholds: Tensor
    remembered: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def reliable(self) -> Tensor:
        """(B,) bool, the rows that count half or more; of a rule that says yes or no those that count."""
        return self.weights >= 0.5


class ConfidenceRule(nn.Module, ABC):
    """How far each pseudo-label is trusted; its buffers are all that it learns.

    Per global batch a method calls `judge` for each micro-batch, `begin_update` after the last one, and `finish_update` later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.columns: Columns = {}  # what is remembered of each instance, which comes once an epoch at most

    @abstractmethod
    def judge(self, rows: Evidence) -> Trust:
        """Weights and thresholds of a micro-batch."""

    def begin_update(self) -> None:
        """Start what sums over workers no step waits for."""

    def finish_update(self) -> None:
        """Close the global batch."""


def from_threshold(confidence: Tensor, thresholds: Tensor, remembered: Mapping[str, Tensor] | None = None) -> Trust:
    """Yes or no: rows whose confidence (B,) reaches the threshold, (B,) or scalar, count whole and the others not at all."""
    return Trust((confidence >= thresholds).to(confidence.dtype), thresholds, remembered or {})
