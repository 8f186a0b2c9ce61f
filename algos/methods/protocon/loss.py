"""ProtoCon's loss in its five parts: labels and pseudo-labels, each for the classifier and for the prototypes, and consistency.

Shapes: L labelled rows, B unlabelled rows, C classes, D embedding size. Source: ProtoCon, CVPR 2023, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

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
        refined: (B, C) probabilities, of the classifier and of the clusters together.
        hard: (B,) int64, the most probable class of `refined`.
        guess: (B,) int64, the classifier's own.
        reliable: (B,) bool, whether the row is trained on.
    """

    refined: Tensor
    hard: Tensor
    guess: Tensor
    reliable: Tensor

    @classmethod
    def of(cls, guesses: Tensor, refined: Tensor, threshold: float) -> PseudoLabels:
        """From the classifier's aligned guesses (B, C) and the refined ones; reliable from probability `threshold` on [tau]."""
        confidence, hard = refined.max(dim=1)
        return cls(refined, hard, guesses.argmax(dim=1), confidence >= threshold)

    def targets(self, *, soft: bool) -> Tensor:
        """What a cross-entropy takes: probabilities (B, C), or classes (B,)."""
        return self.refined if soft else self.hard


@dataclass(frozen=True)
class LossParts:
    """The parts of the loss, each a scalar; means over the labelled or over all unlabelled rows.

    Attributes:
        labelled: of the classifier, on labels.
        unlabelled: of the classifier, on reliable pseudo-labels [lambda_u].
        prototype_labelled: of the prototypes, on labels [lambda_p].
        prototype_unlabelled: of the prototypes, on reliable pseudo-labels [lambda_p].
        consistency: of the weak and the strong view [lambda_c].
    """

    labelled: Tensor
    unlabelled: Tensor
    prototype_labelled: Tensor
    prototype_unlabelled: Tensor
    consistency: Tensor

    @property
    def all(self) -> tuple[Tensor, ...]:
        """The parts in their order."""
        return self.labelled, self.unlabelled, self.prototype_labelled, self.prototype_unlabelled, self.consistency

    def weighed(self, config: ProtoConConfig) -> Tensor:
        """The loss; a part of weight 0 is left out, so that nothing waits for its gradient."""
        prototype = config.prototype_weight
        weights = (1.0, config.unlabelled_weight, prototype, prototype, config.consistency_weight)
        return torch.stack([weight * part for weight, part in zip(weights, self.all, strict=True) if weight > 0]).sum()


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross-entropy of logits (L, C) with labels (L,)."""
    return F.cross_entropy(logits, labels)


def pseudo_label_loss(logits: Tensor, targets: Tensor, trusted: Tensor) -> Tensor:
    """Mean over all B rows of the cross-entropy of the trusted ones.

    Args:
        logits: (B, C) of the strong views.
        targets: (B, C) probabilities or (B,) classes.
        trusted: (B,) 1 for rows that are trained on, 0 for the others.
    """
    return (F.cross_entropy(logits, targets, reduction="none") * trusted).mean()


def consistency_loss(rows: Tensor, trusted: Tensor, *, unreliable_only: bool) -> Tensor:
    """Mean of the consistency (B,) of all rows, or of those that are not trusted and 0 for the others."""
    return (rows * (1 - trusted) if unreliable_only else rows).mean()
