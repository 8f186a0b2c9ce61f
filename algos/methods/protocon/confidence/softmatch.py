"""No threshold: rows of less than the usual confidence count less.

Source: Chen et al., "SoftMatch: Addressing the Quantity-Quality Trade-off in Semi-supervised Learning", ICLR 2023, section 3.2.
"""

from __future__ import annotations

import torch

from algos.distributed.batch_sums import BatchSums
from algos.methods.protocon.confidence.rule import ConfidenceRule, Evidence, Trust
from algos.methods.protocon.running_mean import RunningMean

DEVIATIONS = 2.0  # that the published program divides the deviation by


class SoftMatch(ConfidenceRule):
    """A row of confidence x counts 1 from the mean m on, and below it exp(-(x - m)^2 / (2 v / 4)): a truncated Gaussian.

    m and v are running mean and variance of the confidence, from 1 / C and 1 on; they hold the batch that they judge. The
    variance is that of the rows of all workers together, unbiased; a batch of one row has none, and leaves v.

    Args:
        num_classes: C.
        momentum: of both.
    """

    def __init__(self, num_classes: int, momentum: float) -> None:
        super().__init__()
        self.mean = RunningMean(torch.tensor(1 / num_classes), momentum)
        self.variance = RunningMean(torch.tensor(1.0), momentum)
        self._sums = BatchSums()

    def judge(self, rows: Evidence) -> Trust:
        """See `ConfidenceRule`."""
        confidence = rows.guesses.amax(dim=1)
        exact = confidence.double()  # a variance is a small difference of large sums
        sums = self._sums.add(first=exact.sum(), second=exact.square().sum(), rows=exact.new_full((), len(exact)))
        first, second, count = sums["first"], sums["second"], sums["rows"]
        spread = ((second - first.square() / count) / (count - 1).clamp(min=1)).clamp(min=0)
        mean = self.mean.with_batch((first / count).to(confidence.dtype))
        variance = self.variance.with_batch(torch.where(count > 1, spread.to(confidence.dtype), self.variance.value))
        below = (confidence - mean).clamp(max=0)
        scale = (2 * variance / DEVIATIONS**2).clamp(min=torch.finfo(variance.dtype).tiny)
        return Trust((-below.square() / scale).exp(), mean)

    def finish_update(self) -> None:
        """See `ConfidenceRule`."""
        self.mean.finish()
        self.variance.finish()
        self._sums.clear()
