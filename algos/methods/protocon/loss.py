"""ProtoCon's loss in its five parts: labels and pseudo-labels, each for the classifier and for the prototypes, and consistency.

Shapes: L labelled rows, B unlabelled rows, C classes, D embedding size. Source: ProtoCon, CVPR 2023, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.methods.protocon.confidence.rule import Trust
from algos.methods.protocon.config import ProtoConConfig


@dataclass(frozen=True)
class Outputs:
    """What the network says of R rows: logits (R, C) and unit embeddings (R, D)."""

    logits: Tensor
    embeddings: Tensor

    def detach(self) -> Outputs:
        """The same without a gradient."""
        return Outputs(self.logits.detach(), self.embeddings.detach())


@dataclass(frozen=True)
class StepOutputs:
    """What the network says of labelled rows, and of the weak and the strong view of the others; the weak one has no gradient."""

    labelled: Outputs
    weak: Outputs
    strong: Outputs


@dataclass(frozen=True)
class PseudoLabels:
    """What the unlabelled rows are taken for.

    Attributes:
        refined: (B, C) probabilities, of the classifier and of the clusters together: what is trained on.
        hard: (B,) int64, the most probable class of `refined`.
        guess: (B,) int64, the classifier's own.
        trust: how much each row counts.
    """

    refined: Tensor
    hard: Tensor
    guess: Tensor
    trust: Trust

    @classmethod
    def of(cls, guesses: Tensor, refined: Tensor, trust: Trust) -> PseudoLabels:
        """From the classifier's guesses (B, C) and the refined ones, and how far these are trusted."""
        return cls(refined, refined.argmax(dim=1), guesses.argmax(dim=1), trust)

    @property
    def reliable(self) -> Tensor:
        """(B,) bool, the rows that count half or more."""
        return self.trust.reliable

    def targets(self, *, soft: bool) -> Tensor:
        """What a cross-entropy takes: probabilities (B, C), or classes (B,)."""
        return self.refined if soft else self.hard


@dataclass(frozen=True)
class LossParts:
    """The parts of the loss, each a scalar; means over the labelled or over all unlabelled rows.

    Attributes:
        labelled: of the classifier, on labels.
        unlabelled: of the classifier, on pseudo-labels as far as they are trusted [lambda_u].
        prototype_labelled: of the prototypes, on labels [lambda_p].
        prototype_unlabelled: of the prototypes, on the same pseudo-labels [lambda_p].
        consistency: of the weak and the strong view [lambda_c].
        fairness: of the classes, where it has a weight [lambda_e].
    """

    labelled: Tensor
    unlabelled: Tensor
    prototype_labelled: Tensor
    prototype_unlabelled: Tensor
    consistency: Tensor
    fairness: Tensor | None = None

    @property
    def all(self) -> tuple[Tensor, ...]:
        """The parts in their order."""
        five = self.labelled, self.unlabelled, self.prototype_labelled, self.prototype_unlabelled, self.consistency
        return five if self.fairness is None else (*five, self.fairness)

    def weighed(self, config: ProtoConConfig) -> Tensor:
        """The loss; a part of weight 0 is left out, so that nothing waits for its gradient."""
        prototype = config.prototype_weight
        fairness = () if self.fairness is None else (config.fairness_weight,)
        weights = (1.0, config.unlabelled_weight, prototype, prototype, config.consistency_weight, *fairness)
        parts = zip(weights, self.all, strict=True)
        return torch.stack([weight * part for weight, part in parts if weight > 0]).sum()


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits (L, C) with labels (L,)."""
    return F.cross_entropy(logits, labels)


def pseudo_label_loss(logits: Tensor, targets: Tensor, trusted: Tensor) -> Tensor:
    """Mean over all B rows of the cross-entropy of each, as far as it is trusted.

    Args:
        logits: (B, C) of the strong views.
        targets: (B, C) probabilities or (B,) classes.
        trusted: (B,) in [0, 1], how much each row counts.
    """
    return (F.cross_entropy(logits, targets, reduction="none") * trusted).mean()


def consistency_loss(rows: Tensor, trusted: Tensor, *, unreliable_only: bool) -> Tensor:
    """Mean of the consistency (B,) of all rows, or of each as far as it is not trusted."""
    return (rows * (1 - trusted) if unreliable_only else rows).mean()
