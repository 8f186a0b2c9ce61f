"""Passes of constrained k-means over rows that stay: their batches, what they begin with and leave behind, and when to stop.

Embeddings that are being learned drift, and their clustering goes on as it is; over fixed rows centers and prices can settle.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algos.kmeans.certificate import EpochSummary
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans

PATIENCE = 3  # passes in a row without a gain, after which to stop; after one or two, prices may still win or lose a cluster
NEAR = 0.01  # share of the rows by which clusters may be off their bounds when passes stop
CARRIED = 10  # a pass starts from the old center at the weight of a tenth of its rows; nothing at all is noisy at first


class Passes:
    """A clustering's passes over fixed rows.

    A clustering that starts from a finished one is to stay near it: each of its passes begins from the old centers at the weight
    of all their rows, and the duals' step goes on falling.

    Args:
        kmeans: on its device.
        before: passes that a finished clustering made, whose centers and prices these are; `None` for new ones.
    """

    def __init__(self, kmeans: OnlineConstrainedKMeans, before: int | None = None) -> None:
        self.kmeans = kmeans
        self._before, self._one_in = before or 0, CARRIED if before is None else 1
        self.carried = torch.zeros_like(kmeans.counts)  # rows that the present pass began with

    def begin(self, number: int) -> None:
        """Start pass `number`, from 0: the step of the duals falls with 1 / pass, so that prices settle."""
        self.kmeans.set_dual_lr(divisor=self._before + number + 1)

    def end(self) -> tuple[Tensor, list[EpochSummary]]:
        """Close a pass; returns the rows (sum of K,) that it gave to each cluster, and the heads' summaries."""
        given = self.kmeans.counts - self.carried
        summaries = self.kmeans.end_epoch()
        self.carry(given)
        return given, summaries

    def carry(self, rows: Tensor) -> None:
        """Begin with the old centers at their weight after a pass that gave them these rows (sum of K,)."""
        self.carried = rows // self._one_in
        self.kmeans.counts.copy_(self.carried)


class Settling:
    """Tells when passes gain nothing any more.

    A pass is worth its mean similarity less the share of rows by which clusters were off their bounds, each at the highest price.
    Paid for at the best prices or more, a bound is kept by the best labels (an exact penalty), so neither similarity bought with
    missing rows nor rows bought with too much similarity count as a gain. Passes are compared at the present price.

    With a maximum, prices are still small when similarities have settled: passes that come nearer to the bounds by a tenth count
    as a gain as long as more than a hundredth of the rows is off them.

    Args:
        tol: least gain in mean similarity over the best pass so far; 0 never stops.
        bounded_above: whether there is a maximum.
    """

    def __init__(self, tol: float, *, bounded_above: bool = False) -> None:
        self.tol, self.bounded_above = tol, bounded_above
        self._best, self._least_off, self._idle = (-math.inf, 0.0), math.inf, 0

    def add(self, similarity: float, off: float, prices: Tensor) -> None:
        """Take note of a pass: mean similarity, share of rows by which clusters were off their bounds, prices (K,) after it."""
        price = float(prices.max() - prices.min().clamp(max=0))
        gained = similarity - price * off > self._best[0] - price * self._best[1] + self.tol
        nearer = self.bounded_above and NEAR < off < 0.9 * self._least_off
        self._best = (similarity, off) if gained else self._best
        self._idle, self._least_off = 0 if gained or nearer else self._idle + 1, min(off, self._least_off)

    @property
    def done(self) -> bool:
        """Whether the last `PATIENCE` passes gained nothing."""
        return self.tol > 0 and self._idle >= PATIENCE
