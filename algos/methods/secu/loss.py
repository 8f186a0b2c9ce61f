"""SeCu's loss on centers, and how far each row pulls its own; what the representation learns is CoKe's loss of two views.

Shapes: R rows of all views, D embedding size, K clusters of one head. A row asks its center to explain it: cross-entropy over all
clusters, in which the logits of the others are constants. So its gradient reaches no center but its own, where that of plain
cross-entropy would push every other one away, also from rows that it never had (the paper's first finding: this is what makes one
stage of clustering and learning unstable).

Source: Qian, "Stable Cluster Discrimination for Deep Clustering", ICCV 2023. The gradient is derived here: with p the softmax of
x . c / T and y the row's cluster, d loss / d c_y = -(1 - p_y) x / T, and 0 for the other centers.
"""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def center_loss(rows: Tensor, centers: Tensor, labels: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Mean loss over the rows, (), and what each adds to the descent of its own center, (R, D): hard rows pull more.

    Args:
        rows: (R, D) unit embeddings, which get no gradient.
        centers: (K, D) unit rows.
        labels: (R,) int64.
        temperature: T_w.
    """
    log_p = (rows @ centers.T / temperature).log_softmax(dim=1).gather(1, labels[:, None])
    return -log_p.mean(), (1 - log_p.exp()) * rows / temperature


def descent(weights: Tensor, pulls: Tensor) -> Tensor:
    """Gradient with respect to unnormalised centers (K, D) from the pulls (K, D) on the normalised ones.

    With c = w / |w| it is -(pull - (pull . c) c) / |w|: what would only change the length is lost.
    """
    length: Tensor = torch.linalg.vector_norm(weights, dim=1, keepdim=True).clamp(min=1e-12)
    unit = weights / length
    along = (pulls * unit).sum(dim=1, keepdim=True)
    return (along * unit - pulls) / length
