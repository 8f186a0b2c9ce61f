"""A prototype per class: the mean embedding of its labelled and reliably pseudo-labelled rows, over all workers and one epoch.

Shapes: B rows, C classes, D embedding size. Embeddings are unit vectors.
Source: ProtoCon, CVPR 2023, section 3.3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.constrained_kmeans import batch_statistics
from algos.distributed import sum_over_workers


class Prototypes(nn.Module):
    """Prototypes of the epoch before, and the sums that make the next ones.

    Before the first epoch's end they are zero, so that logits against them are equal and teach nothing.

    Args:
        num_classes: C.
        dim: D.
    """

    prototypes: Tensor
    statistics: Tensor

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(num_classes, dim))
        self.register_buffer("statistics", torch.zeros(num_classes, dim + 1))  # of this epoch: all workers', and the count last
        self._collected = torch.zeros(num_classes, dim + 1)

    def logits(self, embeddings: Tensor, temperature: float) -> Tensor:
        """Similarity of rows (B, D) to each prototype over the temperature, (B, C)."""
        return embeddings @ self.prototypes.T / temperature

    @torch.no_grad()
    def collect(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Add rows (B, D) with labels (B,) int64; `weights` (B,) in {0, 1} leaves rows out."""
        rows = batch_statistics(embeddings, labels, len(self.prototypes), weights)
        self._collected = self._collected.to(rows.device) + rows

    def exchange(self) -> None:
        """Add what all workers collected since the last call. All workers call it together."""
        self.statistics += sum_over_workers(self._collected.to(self.statistics.device))
        self._collected = torch.zeros_like(self.statistics)

    def end_epoch(self) -> None:
        """Move to this epoch's means; a class without a row keeps its prototype."""
        sums, counts = self.statistics[:, :-1], self.statistics[:, -1:]
        self.prototypes = torch.where(counts > 0, F.normalize(sums, dim=1), self.prototypes)
        self.statistics = torch.zeros_like(self.statistics)
