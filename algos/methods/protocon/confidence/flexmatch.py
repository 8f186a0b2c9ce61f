"""Thresholds that rise with what is learned of a class.

Source: Zhang et al., "FlexMatch: Boosting Semi-Supervised Learning with Curriculum Pseudo Labeling", NeurIPS 2021, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.distributed.collectives import Summing, begin_sum
from algos.methods.instance_memory import smallest_integer
from algos.methods.protocon.confidence.rule import ConfidenceRule, Evidence, Trust, from_threshold

LEARNED = "learned"  # an instance's class plus 1, or 0 for one that was never confident


class FlexMatch(ConfidenceRule):
    """Curriculum pseudo-labels: a row counts from threshold * M(beta of its class) on, M(x) = x / (2 - x).

    An instance belongs to the class that it had when it last reached the full threshold, and to none before. beta_c is the
    number of those of class c over that of the largest class, or of those without one where they are more. It starts at 0, where
    every row counts, and moves after a batch, so that it acts from the next one on. While all instances are of one kind it stays.

    Changes of counts are summed, never the N instances: every worker adds its own rows' and no step waits for the sum.

    Args:
        num_classes: C.
        num_rows: N, images that are trained on.
        threshold: of a class that is learned [tau].
    """

    counts: Tensor
    beta: Tensor
    changes: Tensor

    def __init__(self, num_classes: int, num_rows: int, threshold: float) -> None:
        super().__init__()
        self.columns = {LEARNED: (1, smallest_integer(num_classes + 1))}
        self.num_rows, self.threshold = num_rows, threshold
        self.register_buffer("counts", torch.zeros(num_classes, dtype=torch.int64))
        self.register_buffer("beta", torch.zeros(num_classes))
        self.register_buffer("changes", torch.zeros(num_classes + 1, dtype=torch.int64), persistent=False)
        self._summing: Summing | None = None

    def judge(self, rows: Evidence) -> Trust:
        """See `ConfidenceRule`."""
        confidence, classes = rows.guesses.max(dim=1)
        before = rows.remembered[LEARNED][0]
        after = torch.where(confidence >= self.threshold, classes + 1, before)
        one = torch.ones_like(before)
        self.changes = self.changes.index_add(0, after, one).index_add(0, before, -one)
        thresholds = self.threshold * (self.beta / (2 - self.beta))[classes]
        return from_threshold(confidence, thresholds, {LEARNED: after[None]})

    def begin_update(self) -> None:
        """See `ConfidenceRule`."""
        self._summing = begin_sum(self.changes)

    def finish_update(self) -> None:
        """See `ConfidenceRule`."""
        if self._summing is None:
            return
        self.counts = self.counts + self._summing.wait()[1:]
        self.changes, self._summing = torch.zeros_like(self.changes), None
        most = torch.maximum(self.counts.max(), self.num_rows - self.counts.sum())
        self.beta = torch.where(most < self.num_rows, self.counts / most, self.beta)
