"""How good guessed classes are: top-k and macro accuracy, each class by itself, calibration. Shapes: M rows, C classes.

The published macro accuracy is the mean of the classes' recalls; the calibration error is that of Guo et al., "On Calibration of
Modern Neural Networks", ICML 2017, equation 3, after Naeini et al., AAAI 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

MOST = 5  # classes of a row that are kept: top-5 needs no more
BINS = 15  # of confidence, as published
NOBODY = -1  # in the place of a class that got no vote


@dataclass(frozen=True)
class Guesses:
    """The likeliest classes of M rows.

    Attributes:
        classes: (M, k) int64, the likeliest first, of equal ones the lowest; -1 where no further class got a vote.
        shares: (M, k) float32: probabilities, or shares of a vote.
    """

    classes: Tensor
    shares: Tensor

    @classmethod
    def of_logits(cls, logits: Tensor) -> Guesses:
        """Of logits (M, C), whose softmax the shares are."""
        return cls._likeliest(logits.detach().float().softmax(dim=1))

    @classmethod
    def of_votes(cls, votes: Tensor) -> Guesses:
        """Of votes (M, C), none negative, and at least one of each row positive."""
        found = cls._likeliest(votes / votes.sum(dim=1, keepdim=True))
        return cls(found.classes.where(found.shares > 0, NOBODY), found.shares)

    @classmethod
    def joined(cls, parts: list[Guesses]) -> Guesses:
        """Of parts one behind the other."""
        return cls(torch.cat([part.classes for part in parts]), torch.cat([part.shares for part in parts]))

    def on_host(self) -> Guesses:
        """The same in the host's memory."""
        return Guesses(self.classes.cpu(), self.shares.cpu())

    @classmethod
    def _likeliest(cls, shares: Tensor) -> Guesses:
        most, classes = shares.sort(dim=1, descending=True, stable=True)
        return cls(classes[:, :MOST].clone(), most[:, :MOST].clone())

    @property
    def first(self) -> Tensor:
        """The likeliest class of each row (M,)."""
        return self.classes[:, 0]

    @property
    def margin(self) -> Tensor:
        """Between the shares of the two likeliest classes (M,), in [0, 1]; of one class alone its share."""
        second = self.shares[:, 1] if self.shares.shape[1] > 1 else torch.zeros_like(self.shares[:, 0])
        return self.shares[:, 0] - second


def top_k_accuracy(classes: Tensor, labels: Tensor, k: int) -> float:
    """Share of the rows whose label (M,) is among the first k of their guessed classes (M, >= k)."""
    return float((classes[:, :k] == labels[:, None]).any(dim=1).double().mean())


def macro_accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Mean over the classes that have rows of the share of their rows (M,) that are guessed right."""
    _, classes = labels.unique(return_inverse=True)
    rows = torch.bincount(classes).double()
    return float((torch.bincount(classes, weights=(predictions == labels).double()) / rows).mean())


def calibration_error(confidence: Tensor, hits: Tensor, bins: int = BINS) -> float:
    """Expected calibration error: how far confidence and accuracy lie apart, weighted over `bins` equal ranges of confidence.

    `sum_b |B_b| / M * |accuracy(B_b) - mean confidence(B_b)|`, B_b the rows with a confidence in ((b - 1) / bins, b / bins].

    Args:
        confidence: (M,) in [0, 1], the probability of the guessed class.
        hits: (M,) bool, whether the guess is right.
        bins: of equal width.
    """
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64, device=confidence.device)[1:-1]
    place = torch.bucketize(confidence.double(), edges)
    gaps = torch.bincount(place, weights=hits.double() - confidence.double(), minlength=bins)
    return float(gaps.abs().sum() / len(hits))


@dataclass(frozen=True)
class ClassTable:
    """Each of the C classes by itself; arrays (C,).

    Attributes:
        rows: int64.
        accuracy: share of them that is guessed right; NaN without rows.
        confused_with: the class that is most often guessed in its place, of equal ones the lowest; -1 where none is.
        confused_rows: rows for which it is, int64.
    """

    rows: np.ndarray
    accuracy: np.ndarray
    confused_with: np.ndarray
    confused_rows: np.ndarray

    @classmethod
    def of(cls, predictions: Tensor, labels: Tensor, num_classes: int) -> ClassTable:
        """Of guesses (M,) and labels (M,) int64, both in 0..C-1."""
        guessed, truth = predictions.cpu().numpy(), labels.cpu().numpy()
        rows, wrong = np.bincount(truth, minlength=num_classes), guessed != truth
        right = np.bincount(truth[~wrong], minlength=num_classes)
        pairs, counts = np.unique(truth[wrong] * num_classes + guessed[wrong], return_counts=True)
        true, taken_for = np.divmod(pairs, num_classes)
        order = np.lexsort((taken_for, -counts, true))
        found, first = np.unique(true[order], return_index=True)
        confused_with, confused_rows = np.full(num_classes, NOBODY), np.zeros(num_classes, np.int64)
        confused_with[found], confused_rows[found] = taken_for[order][first], counts[order][first]
        return cls(rows, right / np.where(rows, rows, np.nan), confused_with, confused_rows)
