"""Parameter groups, the schedules, clipping, mixed precision."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from algos.networks import ProjectedNetwork, build_backbone
from pipelines.training.optimizer import build_optimizer, learning_rate, set_rates, update, weight_decay_at

SETTINGS = {
    "name": "lars", "lr": 1.0, "momentum": 0.0, "weight_decay": 1e-9, "nesterov": False, "trust_coefficient": 0.01,
}  # fmt: skip
ADAMW = SETTINGS | {"name": "adamw", "lr": 0.1, "weight_decay": 0.5}
VIT = {"img_size": 8, "patch_size": 4, "embed_dim": 12, "depth": 3, "num_heads": 2}


def small_vit() -> ProjectedNetwork:
    return ProjectedNetwork(build_backbone("timm/vit_tiny_patch16_224", image_size=8, options=VIT), 6, None)


def groups_by_name(network: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, object]]:
    """The group of each parameter."""
    named = {id(p): name for name, p in network.named_parameters()}
    return {named[id(p)]: group for group in optimizer.param_groups for p in group["params"]}


def test_biases_and_norms_get_no_decay():
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    for name in ("lars", "sgd"):
        decayed, plain = build_optimizer(network, **SETTINGS | {"name": name, "weight_decay": 0.1}).param_groups
        assert [p.ndim for p in decayed["params"]] == [2]
        assert decayed["weight_decay"] == 0.1
        assert [p.ndim for p in plain["params"]] == [1, 1, 1]
        assert plain["weight_decay"] == 0.0


def test_lars_adapts_matrices_and_leaves_vectors_alone():
    matrix, vector = nn.Parameter(torch.full((2, 2), 2.0)), nn.Parameter(torch.full((2,), 2.0))
    network = nn.ParameterList([matrix, vector])
    optimizer = build_optimizer(network, **SETTINGS)
    matrix.grad, vector.grad = torch.full((2, 2), 0.5), torch.full((2,), 0.5)
    optimizer.step()
    torch.testing.assert_close(matrix.data, torch.full((2, 2), 2.0 - 0.01 * (4.0 / 1.0) * 0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(vector.data, torch.full((2,), 1.5))


def test_adamw_by_hand():
    matrix, vector = nn.Parameter(torch.full((2, 2), 2.0)), nn.Parameter(torch.full((2,), 2.0))
    optimizer = build_optimizer(nn.ParameterList([matrix, vector]), **ADAMW, betas=(0.5, 0.75), eps=0.1)
    for gradient in (1.0, 3.0):
        matrix.grad, vector.grad = torch.full((2, 2), gradient), torch.full((2,), gradient)
        optimizer.step()
    # Means 0.5, then 1.75; of squares 0.25, then 2.4375; over 1 - beta^t they are 1 and 7/3, of squares 1 and 39/7.
    steps = 1 / (1 + 0.1), (7 / 3) / (math.sqrt(39 / 7) + 0.1)
    torch.testing.assert_close(vector.data, torch.full((2,), 2 - 0.1 * sum(steps)))
    decayed = (2 * (1 - 0.1 * 0.5) - 0.1 * steps[0]) * (1 - 0.1 * 0.5) - 0.1 * steps[1]
    torch.testing.assert_close(matrix.data, torch.full((2, 2), decayed))


def test_adamw_decays_no_positions_and_tokens_of_a_vit_and_sgd_does_as_it_always_did():
    network = small_vit()
    tokens = ("backbone.cls_token", "backbone.pos_embed")
    adamw = groups_by_name(network, build_optimizer(network, **ADAMW))
    assert {adamw[name]["weight_decay"] for name in tokens} == {0.0}
    assert {adamw[name]["weight_decay"] for name, p in network.named_parameters() if p.ndim > 1 and name not in tokens} == {0.5}
    sgd = groups_by_name(network, build_optimizer(network, **ADAMW | {"name": "sgd"}))
    assert {sgd[name]["weight_decay"] for name in tokens} == {0.5}


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_the_rate_falls_from_layer_to_layer_and_heads_have_the_whole(name):
    network = small_vit()
    optimizer = build_optimizer(network, **ADAMW | {"name": name, "layer_decay": 0.5})
    set_rates(optimizer, 0.8)
    groups = groups_by_name(network, optimizer)
    assert len(groups) == len(list(network.parameters()))
    expected = {
        "projector.0.weight": 0.8, "backbone.norm.weight": 0.4, "backbone.blocks.2.attn.qkv.weight": 0.4,
        "backbone.blocks.1.mlp.fc1.bias": 0.2, "backbone.blocks.0.attn.qkv.weight": 0.1, "backbone.patch_embed.proj.weight": 0.05,
        "backbone.pos_embed": 0.05,
    }  # fmt: skip
    assert {key: groups[key]["lr"] for key in expected} == pytest.approx(expected)
    assert optimizer.param_groups[-1]["lr"] == 0.8  # which is told


@pytest.mark.parametrize("layer_decay", [1.0, 0.5])
@pytest.mark.parametrize("start", [0.0, 0.5])
def test_a_weight_decay_that_grows_is_of_those_that_have_one(start, layer_decay):
    network = small_vit()
    optimizer = build_optimizer(network, **ADAMW | {"weight_decay": start, "layer_decay": layer_decay})
    set_rates(optimizer, 0.1)
    assert groups_by_name(network, optimizer)["projector.0.weight"]["weight_decay"] == start
    set_rates(optimizer, 0.1, 0.7)
    groups = groups_by_name(network, optimizer)
    assert groups["projector.0.weight"]["weight_decay"] == groups["backbone.blocks.1.mlp.fc1.weight"]["weight_decay"] == 0.7
    assert groups["projector.1.weight"]["weight_decay"] == groups["backbone.pos_embed"]["weight_decay"] == 0.0


def test_schedule_by_hand():
    assert learning_rate(-0.5, 12, peak=2.0, warmup_epochs=4) == 0.0
    assert learning_rate(1.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(0.5)
    assert learning_rate(4.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(2.0)
    assert learning_rate(8.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(1.0)
    assert learning_rate(12.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(0.0)


def test_weight_decay_goes_by_half_a_cosine():
    found = [weight_decay_at(epoch, 12, start=0.04, end=0.4) for epoch in (-1.0, 0.0, 4.0, 6.0, 12.0, 13.0)]
    assert found == pytest.approx([0.04, 0.04, 0.4 - 0.36 * 0.75, 0.22, 0.4, 0.4])


def gradients(network: nn.Module, scaler: torch.amp.GradScaler, loss: Tensor) -> None:
    network.zero_grad()
    scaler.scale(loss).backward()


@pytest.mark.parametrize(("clip", "scale"), product([None, 1.0, 10.0], [None, 1024.0]))
def test_the_norm_is_that_before_clipping_and_without_the_scale(clip, scale):
    weight = nn.Parameter(torch.tensor([[1.0, 2.0]]))
    network = nn.ParameterList([weight])
    scaler = torch.amp.GradScaler("cpu", init_scale=scale or 1.0, enabled=scale is not None)
    optimizer = build_optimizer(network, **SETTINGS | {"name": "sgd", "weight_decay": 0.0, "lr": 0.1})
    gradients(network, scaler, (weight * torch.tensor([[3.0, 4.0]])).sum())
    assert float(update(optimizer, scaler, clip)) == pytest.approx(5.0)
    step = 1.0 if clip is None or clip > 5 else clip / 5
    torch.testing.assert_close(weight.data, torch.tensor([[1.0, 2.0]]) - 0.1 * step * torch.tensor([[3.0, 4.0]]))
    assert weight.grad is None


@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_step_that_overflowed_changes_nothing_and_its_norm_is_not_finite(clip):
    weight = nn.Parameter(torch.tensor([[1.0, 2.0]]))
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**100)
    optimizer = build_optimizer(nn.ParameterList([weight]), **SETTINGS | {"name": "sgd", "weight_decay": 0.0})
    gradients(nn.ParameterList([weight]), scaler, (weight * 2.0**60).sum())
    assert not update(optimizer, scaler, clip).isfinite()
    assert torch.equal(weight.data, torch.tensor([[1.0, 2.0]]))
    assert scaler.get_scale() == 2.0**99
