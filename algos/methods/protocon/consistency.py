"""Self-supervised consistency: the strong view's embedding predicts the weak view's, as distributions over its D dimensions.

Shapes: B rows, D embedding size. Source: ProtoCon, CVPR 2023, section 3.4; centring after Caron et al., "DINO", ICCV 2021.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPENING = 5.0  # the weak view's temperature is the strong one's over this
MOMENTUM = 0.9


class Consistency(nn.Module):
    """The running mean (D,) of the weak views' distributions, and the loss around it.

    Args:
        dim: D.
        temperature: of the strong views [T].
    """

    center: Tensor

    def __init__(self, dim: int, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.register_buffer("center", torch.zeros(dim))

    def targets(self, weak: Tensor) -> Tensor:
        """Distributions (B, D) that the strong views are to match, from unit embeddings (B, D) of the weak ones."""
        return F.softmax((weak.detach() - self.center) * SHARPENING / self.temperature, dim=1)

    def loss(self, strong: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of each row, (B,)."""
        return F.cross_entropy(strong / self.temperature, targets, reduction="none")

    def finish(self, batch_mean: Tensor) -> None:
        """Close the global batch, whose targets had mean (D,)."""
        self.center = MOMENTUM * self.center + (1 - MOMENTUM) * batch_mean
