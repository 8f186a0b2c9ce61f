"""CoKe's loss: every view predicts the cluster of its image, and a little of what the other views say.

Shapes: B rows, D embedding size, K clusters, H heads. One formula serves the three published recipes; they differ in the number
of views and in two weights. Source: CoKe, sections 3.1, 3.3 and 3.5; method.md section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LossWeights:
    """Weights of the parts of the loss.

    Attributes:
        temperature: T; logits are similarities / T.
        label_weight: alpha, the share of the cluster label; the rest is the other view's prediction. 1 with one view.
        predictor_weight: beta, the share of the predictor's outputs; the rest is the projector's.
        large_weight: share of the large views; the rest is the small crops'. Without small crops it has no effect.
    """

    temperature: float = 0.1
    label_weight: float = 1.0
    predictor_weight: float = 1.0
    large_weight: float = 0.5


@dataclass(frozen=True)
class Embeddings:
    """Unit embeddings of the views of one batch: `projected` z and `predicted` p, each a list of (B, D)."""

    projected: Sequence[Tensor]
    predicted: Sequence[Tensor]


def cluster_loss(large: Embeddings, small: Embeddings | None, centers: Tensor, targets: Tensor, weights: LossWeights) -> Tensor:
    """Loss of one head, a scalar.

    Args:
        large: the large views; with two, each also learns from the other.
        small: the small crops, which learn from the mean of the large views.
        centers: (K, D) unit rows.
        targets: cluster labels (B,) int64, or distributions over clusters (B, K).
        weights: see `LossWeights`.
    """
    large_targets, small_target = _targets(large, centers, targets, weights)
    loss = _views_loss(large, large_targets, centers, weights)
    if small is None:
        return loss
    small_targets = [small_target] * len(small.projected)
    small_loss = _views_loss(small, small_targets, centers, weights)
    return weights.large_weight * loss + (1 - weights.large_weight) * small_loss


@torch.no_grad()
def _targets(large: Embeddings, centers: Tensor, targets: Tensor, weights: LossWeights) -> tuple[list[Tensor], Tensor]:
    """What each large view is to predict, and what every small crop is."""
    if weights.label_weight == 1:
        return [targets] * len(large.projected), targets
    beliefs = [F.softmax(z.float() @ centers.T / weights.temperature, dim=1) for z in large.projected]
    mean = torch.stack(beliefs).mean(dim=0)
    return [_mix(targets, _other_views(own, mean, len(beliefs)), weights) for own in beliefs], _mix(targets, mean, weights)


def _other_views(own: Tensor, mean: Tensor, views: int) -> Tensor:
    return (mean * views - own) / max(views - 1, 1)


def _mix(targets: Tensor, belief: Tensor, weights: LossWeights) -> Tensor:
    # Cross-entropy is linear in its target, so one log-softmax serves the label and the belief.
    if not targets.is_floating_point():
        targets = F.one_hot(targets, belief.shape[1]).to(belief.dtype)
    return weights.label_weight * targets + (1 - weights.label_weight) * belief


def _views_loss(views: Embeddings, targets: Sequence[Tensor], centers: Tensor, weights: LossWeights) -> Tensor:
    beta = weights.predictor_weight
    parts = []
    for share, embeddings in ((beta, views.predicted), (1 - beta, views.projected)):
        if share == 0:
            continue
        logits = torch.cat([view.float() @ centers.T for view in embeddings]) / weights.temperature
        parts.append(share * F.cross_entropy(logits, torch.cat(list(targets))))
    return torch.stack(parts).sum()
