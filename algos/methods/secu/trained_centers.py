"""Online constrained k-means whose centers are trained by gradient descent, not averaged.

Shapes: B rows of a batch, V embeddings of each, D embedding size, K clusters, H heads. Labels, duals, certificate and snapshots
are those of the core. Where the core adds up the rows of a cluster, this adds up what they pull, which is as many numbers: the
gradient needs no network's backward pass, and the sum over workers is that of the core.

Source: Qian, "Stable Cluster Discrimination for Deep Clustering", ICCV 2023.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.methods.secu.loss import center_loss, descent


@dataclass(frozen=True)
class CenterTraining:
    """How centers are trained: temperature T_w of their loss, and the constants of SGD, or of LARS where `trust` is given."""

    temperature: float = 0.05
    lr: float = 1.2
    momentum: float = 0.9
    weight_decay: float = 1e-4
    trust: float | None = None


class TrainedCenters(OnlineConstrainedKMeans):
    """`centers` are the normalised rows of `weights`, which are trained; `velocity` is their momentum.

    Weights are never normalised themselves. A gradient is at right angles to its row, so steps make rows longer and weight decay
    makes them shorter; the longer a row, the less a step turns it.

    Args:
        num_clusters: K of each head.
        dim: D.
        training: constants.
        options: further ones of `OnlineConstrainedKMeans`, for unit vectors and one stage.
    """

    weights: Tensor
    velocity: Tensor

    def __init__(self, num_clusters: list[int], dim: int, training: CenterTraining, **options: Any) -> None:
        super().__init__(num_clusters, dim, **options)
        self.training_constants = training
        self.register_buffer("weights", self.centers.clone())
        self.register_buffer("velocity", torch.zeros_like(self.centers))

    @torch.no_grad()
    def start_from(self, centers: Tensor, prices: Tensor) -> None:
        """Take the centers (sum of K, D) and prices (sum of K,) of another clustering, before the first batch."""
        super().start_from(centers, prices)
        self.weights.copy_(centers)

    def collect(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Add what rows (B, D) with labels (H, B) pull to the statistics of the batch under way.

        Raises:
            ValueError: for `weights`: every row pulls as one.
        """
        if weights is not None:
            raise ValueError("trained centers count every row once; give no weights")
        self.collect_views([embeddings], labels)

    @torch.no_grad()
    def collect_views(self, views: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Add what V embeddings (B, D) of each row with labels (H, B) pull; returns the mean loss over heads and views, ()."""
        rows, labels, share = torch.cat(list(views)), labels.repeat(1, len(views)), 1 / len(views)
        losses, pulled = [], rows.new_empty(len(labels), len(rows), rows.shape[1] + 1)
        pulled[..., -1] = share  # a row counts as one, whatever the number of its embeddings
        for head, centers in enumerate(self.per_head(self.centers)):
            loss, pulls = center_loss(rows, centers, labels[head], self.training_constants.temperature)
            pulled[head, :, :-1] = pulls * share
            losses.append(loss)
        self.statistics.index_add_(0, (labels + self.offsets).flatten(), pulled.flatten(0, 1).to(self.statistics.dtype))
        self._has_rows = True
        return torch.stack(losses).mean()

    def _move_centers(self, counts: Tensor, sums: Tensor) -> None:
        """One step against the mean, over rows and heads, of the loss; every worker takes the same."""
        rows = counts[: self.num_clusters[0]].sum()
        gradient = descent(self.weights, sums / (rows * len(self.num_clusters)))
        training = self.training_constants
        step = gradient + training.weight_decay * self.weights
        if training.trust is not None:
            step = torch.cat([training.trust * part for part in map(_scaled, self.per_head(self.weights), self.per_head(step))])
        self.velocity.mul_(training.momentum).add_(step)
        self.weights.sub_(self.velocity, alpha=training.lr)
        self.centers = F.normalize(self.weights, dim=1)


def _scaled(weights: Tensor, step: Tensor) -> Tensor:
    """A head's step (K, D), made as long as its weights; as it is where one of the two is zero."""
    of_weights, of_step = torch.linalg.vector_norm(weights), torch.linalg.vector_norm(step)
    return step * torch.where((of_weights > 0) & (of_step > 0), of_weights / of_step, 1.0)
