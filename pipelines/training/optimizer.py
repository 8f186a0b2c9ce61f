"""Optimisers and the learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


def build_optimizer(
    network: nn.Module, *, name: str, lr: float, momentum: float, weight_decay: float, nesterov: bool, trust_coefficient: float
) -> torch.optim.Optimizer:
    """LARS or SGD over the network's parameters; biases and norms (1-D) get no decay, and with LARS no trust ratio either.

    Args:
        network: that it updates.
        name: `lars` or `sgd`.
        lr: learning rate, until the schedule sets it.
        momentum: of both.
        weight_decay: of matrices.
        nesterov: of sgd.
        trust_coefficient: of LARS.
    """
    matrices = [p for p in network.parameters() if p.ndim > 1]
    vectors = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if name == "sgd":
        # Fused, it takes fp16's scale and skips what overflowed on the device; any other step asks the host about it.
        on_gpu = all(p.device.type == "cuda" for p in network.parameters())
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=on_gpu or None)
    import timm.optim

    groups[0]["always_adapt"] = True  # also without a weight decay; timm's LARS leaves the group of vectors alone
    lars: torch.optim.Optimizer = timm.optim.Lars(groups, lr=lr, momentum=momentum, trust_coeff=trust_coefficient)
    return lars


def learning_rate(epoch: float, epochs: int, *, peak: float, warmup_epochs: int) -> float:
    """Learning rate at a (fractional) epoch of training: linear warm-up, then cosine to 0 at `epochs`; 0 before epoch 0."""
    if epoch < 0:
        return 0.0
    if epoch < warmup_epochs:
        return peak * epoch / warmup_epochs
    progress = (epoch - warmup_epochs) / max(epochs - warmup_epochs, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
