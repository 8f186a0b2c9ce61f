"""FreeMatch's fairness: a term in the strong views' mean guess, each class weighed by its pseudo-labels' running one.

Shapes: B unlabelled rows, C classes.
Source: Wang et al., "FreeMatch: Self-adaptive Thresholding for Semi-supervised Learning", ICLR 2023, section 4.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.distributed.batch_sums import BatchSums
from algos.methods.protocon.running_mean import RunningMean, equal_shares

NEAR_ZERO = 1e-12  # within the logarithm


class Fairness(nn.Module):
    """The self-adaptive fairness loss, of the rows of all workers as if one process had them.

    sum_c sn(pt / ht)_c * log sn(P / h)_c, with sn(x) = x / sum(x) and 1 / 0 = 0: P and h are mean and histogram of the strong
    views' guesses over the rows that are trained on, pt and ht the running ones of all pseudo-labels. It is minus a
    cross-entropy, and is minimised as it is published: 0 at most.

    Args:
        num_classes: C.
        momentum: of the running mean and histogram.
    """

    def __init__(self, num_classes: int, momentum: float) -> None:
        super().__init__()
        self.mean = RunningMean(equal_shares(num_classes), momentum)  # pt
        self.histogram = RunningMean(equal_shares(num_classes), momentum)  # ht
        self._sums = BatchSums()

    def loss(self, strong: Tensor, guesses: Tensor, weights: Tensor) -> Tensor:
        """The loss, a scalar that is the same on all workers; 0 where no row is trained on.

        Its gradient reaches this worker's rows as the mean over workers, each weighed by its rows, needs it.

        Args:
            strong: logits (B, C) of the strong views.
            guesses: (B, C) pseudo-labels of the same rows.
            weights: (B,) in [0, 1], how much each row counts.
        """
        probabilities = F.softmax(strong, dim=1)
        picked = (probabilities * weights[:, None]).sum(dim=0)
        nothing, ones = torch.zeros_like(picked), torch.ones_like(weights)
        total = self._sums.add(
            picked=picked, histogram=nothing.index_add(0, strong.argmax(dim=1), weights), guesses=guesses.sum(dim=0),
            classes=nothing.index_add(0, guesses.argmax(dim=1), ones), rows=ones.sum(),
        )  # fmt: skip
        mean = self.mean.with_batch(total["guesses"] / total["rows"])
        histogram = self.histogram.with_batch(total["classes"] / total["rows"])
        latest = self._sums.latest
        mine = picked * (latest["rows"] / len(weights))
        ratio = _shares((latest["picked"] + mine - mine.detach()) * _inverse(latest["histogram"]))
        loss = (_shares(mean * _inverse(histogram)) * (ratio + NEAR_ZERO).log()).sum()
        return loss.where(latest["histogram"].sum() > 0, 0.0)

    def finish(self) -> None:
        """Close the global batch."""
        self.mean.finish()
        self.histogram.finish()
        self._sums.clear()


def _inverse(values: Tensor) -> Tensor:
    return torch.where(values > 0, 1 / values.where(values > 0, 1.0), 0.0)


def _shares(values: Tensor) -> Tensor:
    total = values.sum()
    return values / total.where(total > 0, 1.0)
