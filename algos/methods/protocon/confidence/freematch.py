"""Thresholds that follow the model's own confidence.

Source: Wang et al., "FreeMatch: Self-adaptive Thresholding for Semi-supervised Learning", ICLR 2023, section 4.1.
"""

from __future__ import annotations

import torch

from algos.distributed.batch_sums import BatchSums
from algos.methods.protocon.confidence.rule import ConfidenceRule, Evidence, Trust, from_threshold
from algos.methods.protocon.running_mean import RunningMean, equal_shares


class FreeMatch(ConfidenceRule):
    """A row of class c counts from t * p_c / max(p) on: t and p are running means of the confidence and of the pseudo-labels.

    Both start at 1 / C, and hold the batch that they judge.

    Args:
        num_classes: C.
        momentum: of both means [lambda; a].
    """

    def __init__(self, num_classes: int, momentum: float) -> None:
        super().__init__()
        self.confidence = RunningMean(torch.tensor(1 / num_classes), momentum)
        self.classes = RunningMean(equal_shares(num_classes), momentum)
        self._sums = BatchSums()

    def judge(self, rows: Evidence) -> Trust:
        """See `ConfidenceRule`."""
        confidence, classes = rows.guesses.max(dim=1)
        sums = self._sums.add(
            confidence=confidence.sum(), classes=rows.guesses.sum(dim=0), rows=confidence.new_full((), len(confidence))
        )
        overall = self.confidence.with_batch(sums["confidence"] / sums["rows"])
        shares = self.classes.with_batch(sums["classes"] / sums["rows"])
        return from_threshold(confidence, (overall * (shares / shares.max()))[classes])

    def finish_update(self) -> None:
        """See `ConfidenceRule`."""
        self.confidence.finish()
        self.classes.finish()
        self._sums.clear()
