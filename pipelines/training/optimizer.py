"""Optimisers, their groups of parameters, and the schedules of learning rate and weight decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch
from torch import Tensor, nn

LR_SCALE = "lr_scale"  # key of a group: its share of the learning rate, by timm's name
DECAYED = "decayed"  # and whether it has a weight decay

Group = dict[str, Any]


def build_optimizer(
    network: nn.Module,
    *,
    name: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    trust_coefficient: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """LARS, SGD or AdamW over a network's parameters; biases and norms (1-D) get no decay, and with LARS no trust ratio either.

    AdamW, and every optimiser with a decay by layers, leaves out of the weight decay what a timm model names besides.

    Args:
        network: that it updates.
        name: `lars`, `sgd` or `adamw`.
        lr: learning rate, until the schedule sets it.
        momentum: of lars and sgd.
        weight_decay: of matrices.
        nesterov: of sgd.
        trust_coefficient: of LARS.
        betas: of adamw.
        eps: of adamw.
        layer_decay: factor of the learning rate from layer to layer of `network.backbone`, from its end to its start.
    """
    # Fused, they take fp16's scale and skip what overflowed on the device; any other step asks the host about it.
    fused = all(p.device.type == "cuda" for p in network.parameters()) or None
    if layer_decay < 1:
        groups = _layers(network, weight_decay, layer_decay)
    elif name == "adamw":
        groups = _decayed_and_not(network, weight_decay)
    else:
        groups = _matrices_and_vectors(network.parameters(), weight_decay)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=momentum, nesterov=nesterov, fused=fused)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused)
    import timm.optim

    for group in groups:  # also without a weight decay; timm's LARS leaves other groups alone
        group["always_adapt"] = group[DECAYED]
    lars: torch.optim.Optimizer = timm.optim.Lars(groups, lr=lr, momentum=momentum, trust_coeff=trust_coefficient)
    return lars


def _matrices_and_vectors(parameters: Iterable[nn.Parameter], weight_decay: float) -> list[Group]:
    given = list(parameters)
    return [
        {"params": [p for p in given if p.ndim > 1], "weight_decay": weight_decay, DECAYED: True},
        {"params": [p for p in given if p.ndim <= 1], "weight_decay": 0.0, DECAYED: False},
    ]


def _decayed_and_not(network: nn.Module, weight_decay: float) -> list[Group]:
    from timm.optim import param_groups_weight_decay

    kept = [f"{part}.{name}" for part, module in network.named_children() for name in _undecayed(module)]
    # Of a decay of 1: timm would make no groups of one of 0, which may grow.
    return _as_ours(param_groups_weight_decay(network, 1.0, no_weight_decay_list=kept), weight_decay)


def _layers(network: nn.Module, weight_decay: float, layer_decay: float) -> list[Group]:
    """Groups of one layer of the backbone each, as timm cuts its models; then the heads, one more layer at the whole rate."""
    from timm.optim import param_groups_layer_decay

    backbone = network.get_submodule("backbone")
    layers = param_groups_layer_decay(backbone, 1.0, no_weight_decay_list=_undecayed(backbone), layer_decay=layer_decay)
    for layer in layers:  # which timm counts from the last of the backbone
        layer[LR_SCALE] *= layer_decay
    heads = (p for name, p in network.named_parameters() if not name.startswith("backbone."))
    return _as_ours(layers, weight_decay) + _matrices_and_vectors(heads, weight_decay)


def _undecayed(module: nn.Module) -> Collection[str]:
    """Weights of more than one dimension that a timm model names, as a ViT's positions and tokens."""
    named: Callable[[], Collection[str]] = getattr(module, "no_weight_decay", tuple)
    return named()


def _as_ours(groups: list[Group], weight_decay: float) -> list[Group]:
    return [
        {**group, "weight_decay": weight_decay * group["weight_decay"], DECAYED: group["weight_decay"] > 0} for group in groups
    ]


def set_rates(optimizer: torch.optim.Optimizer, lr: float, weight_decay: float | None = None) -> None:
    """Set the learning rate of every group, by its layer, and the weight decay where one is given, of those that have one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get(LR_SCALE, 1.0)
        if weight_decay is not None and group[DECAYED]:
            group["weight_decay"] = weight_decay


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, clip_norm: float | None = None) -> Tensor:
    """Change the weights by their gradients, which are of a scaled loss, and forget these.

    Args:
        optimizer: of the weights.
        scaler: that scaled the loss.
        clip_norm: to which the norm of all gradients together is clipped, if that is larger.

    Returns:
        That norm before it was clipped, without the scale: 0-D, where the gradients are; not finite where fp16 overflowed.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if clip_norm is None:
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        norm = norm / scaler.scale(torch.ones_like(norm))
    else:
        scaler.unscale_(optimizer)
        norm = nn.utils.clip_grad_norm_(parameters, clip_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    return norm


def learning_rate(epoch: float, epochs: int, *, peak: float, warmup_epochs: int) -> float:
    """Learning rate at a (fractional) epoch of training: linear warm-up, then cosine to 0 at `epochs`; 0 before epoch 0."""
    if epoch < 0:
        return 0.0
    if epoch < warmup_epochs:
        return peak * epoch / warmup_epochs
    progress = (epoch - warmup_epochs) / max(epochs - warmup_epochs, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def weight_decay_at(epoch: float, epochs: int, *, start: float, end: float) -> float:
    """Weight decay at a (fractional) epoch of training: by half a cosine from `start` to `end` at `epochs`, as in DINO."""
    progress = min(max(epoch / max(epochs, 1), 0.0), 1.0)
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))
