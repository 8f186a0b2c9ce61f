"""Pseudo-labels: what a classifier says of an unlabelled image, aligned, refined by its cluster, and trusted or not.

Shapes: B unlabelled rows, C classes, K clusters, H heads, N instances.
Source: Nassar et al., "ProtoCon: Pseudo-label Refinement via Online Clustering and Prototypical Consistency
for Efficient Semi-supervised Learning", CVPR 2023, section 3; method.md section 3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.methods.protocon.class_shares import ClassShares
from algos.methods.protocon.config import Alignment, Vote

WINDOW = 32  # global batches, the present one among them
VOTERS = 1 << 22  # instances that are counted at once: integers of 64 bits of all of them would be more than what is kept of them
NEAR_ZERO = 1e-6  # added to shares and means by `ema`


class Aligner(nn.Module):
    """Keeps the classifier's guesses from favouring classes, by their running mean over all workers.

    `window`: distribution alignment, p / (mean of p over the last 32 global batches), normalised; the batch itself is among them.
    `ema`: the same by an exponential mean, which starts at the first batch's and holds the batch itself.
    `debias`: softmax(logits - weight * log pbar) with pbar an exponential mean from before the batch; the strong views' logits
    gain weight * log pbar, the batch included. `none`, and `label_shift`, which is of the labelled rows: softmax(logits).
    What `window` and `ema` make is weighed with the shares that the classes are to have.

    Args:
        num_classes: C.
        kind: which of the four.
        weight: of the correction [debias].
        momentum: of the exponential mean [ema, debias].
        shares: that the classes are to have; `None` for equal ones.
    """

    recent: Tensor
    filled: Tensor
    mean: Tensor

    def __init__(
        self,
        num_classes: int,
        kind: Alignment,
        *,
        weight: float = 0.5,
        momentum: float = 0.999,
        shares: ClassShares | None = None,
    ) -> None:
        super().__init__()
        self.shares = shares or ClassShares(num_classes)
        self.kind, self.weight, self.momentum = kind, weight, momentum
        uniform = torch.full((num_classes,), 1 / num_classes)
        self.register_buffer("recent", torch.zeros(WINDOW - 1, num_classes))  # means of finished batches, in a ring
        self.register_buffer("filled", torch.tensor(0))
        self.register_buffer("mean", uniform)
        self._batch = torch.zeros(())

    def weak(self, logits: Tensor, batch_mean: Tensor, labelled_mean: Tensor | None = None) -> Tensor:
        """Aligned probabilities (B, C) of weak views from their logits (B, C).

        Args:
            logits: of this worker's rows.
            batch_mean: (C,) of the guesses in the global batch.
            labelled_mean: (C,) of the guesses for its labelled rows.
        """
        self._batch = batch_mean
        if self.kind == "window":
            finished = self.filled.clamp(max=WINDOW - 1)
            mean = (self.recent.sum(dim=0) + batch_mean).clamp(min=torch.finfo(batch_mean.dtype).tiny)
            aligned = F.softmax(logits, dim=1) * (finished + 1) / mean * self.shares.of(mean / (finished + 1), labelled_mean)
            return aligned / aligned.sum(dim=1, keepdim=True)
        if self.kind == "ema":
            mean = self._next_mean()
            shares = self.shares.of(mean, labelled_mean)
            aligned = F.softmax(logits, dim=1) * (shares + NEAR_ZERO) / (mean + NEAR_ZERO)
            return aligned / aligned.sum(dim=1, keepdim=True)
        prior = self._prior(self.mean) if self.kind == "debias" else 0.0
        return F.softmax(logits - prior, dim=1)

    def strong(self, logits: Tensor) -> Tensor:
        """Logits (B, C) of the strong views, as the loss takes them; after `weak`."""
        return logits + self._prior(self._next_mean()) if self.kind == "debias" else logits

    def finish(self) -> None:
        """Close the global batch."""
        self.mean = self._next_mean()
        self.recent = self.recent.index_copy(0, (self.filled % (WINDOW - 1))[None], self._batch[None])
        self.filled = self.filled + 1
        self.shares.finish()

    def _prior(self, mean: Tensor) -> Tensor:
        return self.weight * mean.clamp(min=torch.finfo(mean.dtype).tiny).log()  # a class of which nothing is left has one too

    def _next_mean(self) -> Tensor:
        mean = self.momentum * self.mean + (1 - self.momentum) * self._batch
        return torch.where(self.filled > 0, mean, self._batch) if self.kind == "ema" else mean


def refine(guesses: Tensor, cluster_labels: Tensor, weight: float) -> Tensor:
    """Pseudo-labels (B, C): `weight` of the classifier's guess and the rest of its cluster's [alpha p + (1 - alpha) z]."""
    return weight * guesses + (1 - weight) * cluster_labels


def cluster_pseudo_labels(clusters: Tensor, labels: Tensor, scores: Tensor, shape: tuple[int, int], vote: Vote) -> Tensor:
    """Class histogram of each cluster's members, normalised, (K, C) float32; an empty cluster is uniform.

    Args:
        clusters: (N,) integer, -1 for instances that do not vote.
        labels: (N,) integer, their hard pseudo-labels.
        scores: (N,) float, their similarity to their cluster's center.
        shape: (K, C).
        vote: `similarity` weighs a member by its score, at least 0 (the paper), `count` by 1, and `score` gives class c the
            count of its members times the sum of their scores (the recorded reference).
    """
    size = shape[0] * shape[1]
    counts, sums = torch.zeros(size, dtype=torch.int64), torch.zeros(size)
    for some, its, similar in zip(clusters.split(VOTERS), labels.split(VOTERS), scores.split(VOTERS), strict=True):
        member = some >= 0
        cells = some[member].long() * shape[1] + its[member].long()
        counts += torch.bincount(cells, minlength=size)
        sums.index_add_(0, cells, similar[member].float().clamp(min=0.0))  # one below 0 is no vote against a class
    counts, sums = counts.float().view(shape), sums.view(shape)
    votes = {"similarity": sums, "count": counts, "score": sums * counts}[vote]
    total = votes.sum(dim=1, keepdim=True)
    return torch.where(total > 0, votes / total.clamp(min=1e-12), 1 / shape[1])
