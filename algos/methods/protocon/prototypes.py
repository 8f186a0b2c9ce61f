"""A prototype per class: the mean embedding of its labelled and reliably pseudo-labelled rows, over all workers and one epoch.

Shapes: B rows, C classes, D embedding size. Embeddings are unit vectors.
Source: ProtoCon, CVPR 2023, section 3.3.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.distributed.epoch_sums import EpochSums
from algos.kmeans.step_arithmetic import add_statistics


class Prototypes(nn.Module):
    """Prototypes of the epoch before, and the sums that make the next ones.

    Before the first epoch's end they are zero, so that logits against them are equal and teach nothing.

    Args:
        num_classes: C.
        dim: D.
    """

    prototypes: Tensor

    def __init__(self, num_classes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("prototypes", torch.zeros(num_classes, dim))
        self.sums = EpochSums(num_classes, dim + 1)  # the count last

    def logits(self, embeddings: Tensor, temperature: float) -> Tensor:
        """Similarity of rows (B, D) to each prototype over the temperature, (B, C)."""
        return embeddings @ self.prototypes.T / temperature

    @torch.no_grad()
    def collect(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Add rows (B, D) with labels (B,) int64; `weights` (B,) in {0, 1} leaves rows out."""
        add_statistics(self.sums.here, embeddings, labels, weights)

    def exchange(self) -> None:
        """Add what all workers collected since the last call. All workers call it together."""
        self.sums.exchange()

    def end_epoch(self) -> None:
        """Move to this epoch's means; a class without a row keeps its prototype."""
        statistics = self.sums.take().to(self.prototypes.dtype)
        sums, counts = statistics[:, :-1], statistics[:, -1:]
        self.prototypes = torch.where(counts > 0, F.normalize(sums, dim=1), self.prototypes)
