"""Weights of another's file in a network: all of them, at one place, and nothing else in silence."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import timm
import torch
from torch import nn

from algos.matching_weights import MismatchError, classifier_names, match_weights
from algos.networks import build_backbone


@pytest.fixture
def network():
    """Two layers, of seven tensors."""
    torch.manual_seed(0)
    layers = nn.Sequential()
    layers.add_module("conv", nn.Conv2d(3, 4, 3, bias=False))
    layers.add_module("norm", nn.BatchNorm2d(4))
    layers.add_module("last", nn.Linear(4, 2, bias=False))
    return layers


@pytest.fixture
def weights(network):
    """Of another network of the same kind."""
    return {
        name: torch.randn(tensor.shape) if tensor.is_floating_point() else torch.tensor(7)
        for name, tensor in network.state_dict().items()
    }


def below(prefix, weights):
    return {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("place", "hide"),
    [
        ("", lambda weights: weights),
        ("state_dict/", lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"state": {0: {"m": torch.ones(2)}}}}),
        ("module.", lambda weights: below("module.", weights)),
        ("_orig_mod.module.", lambda weights: below("_orig_mod.module.", weights)),
        ("model/network/backbone.", lambda weights: {"model": {"network": below("backbone.", weights)}}),
    ],
)  # fmt: skip
def test_weights_are_found_where_they_stand_and_come_bit_by_bit(network, weights, place, hide):
    found = match_weights(hide(weights), network)
    assert same(found.tensors, weights)
    assert (found.place, found.instead_of, found.beside, found.rounded) == (place, [], [], [])
    network.load_state_dict(found.tensors)


def test_a_network_without_memory_is_enough(network, weights):
    assert same(match_weights(weights, network.to("meta")).tensors, weights)


def test_the_learner_of_moco_is_taken_and_the_rest_counted(network, weights):
    other = {name: tensor + 1 for name, tensor in weights.items()}
    head = {"module.encoder_q.fc.0.weight": torch.ones(2, 2), "module.queue": torch.ones(3)}
    content = {"state_dict": below("module.encoder_k.", other) | below("module.encoder_q.", weights) | head}
    found = match_weights(content, network)
    assert same(found.tensors, weights)
    assert (found.place, found.instead_of) == ("state_dict/module.encoder_q.", ["state_dict/module.encoder_k."])
    assert found.classifier == ["fc.0.weight"]
    assert found.beside == [*below("module.encoder_k.", other), "module.queue"]


@pytest.mark.parametrize(
    ("taken", "other"),
    [("teacher/backbone.", "student/module.backbone."), ("state_dict_ema/", "state_dict/"), ("model_ema/", "model/")],
)
def test_the_averaged_one_of_two_is_taken(network, weights, taken, other):
    content = {}
    for place, values in ((other, {name: tensor + 1 for name, tensor in weights.items()}), (taken, weights)):
        path, _, prefix = place.partition("/")
        content[path] = below(prefix, values)
    found = match_weights(content, network)
    assert same(found.tensors, weights)
    assert (found.place, found.instead_of) == (taken, [other])


def test_two_that_nothing_tells_apart_are_refused(network, weights):
    with pytest.raises(MismatchError, match="has the network 2 times, at first/, schema_b/; save the one that is meant alone"):
        match_weights({"first": weights, "schema_b": dict(weights)}, network)


def test_a_counter_that_an_old_file_lacks_starts_at_0(network, weights):
    del weights["norm.num_batches_tracked"]
    found = match_weights(weights, network).tensors
    assert found["norm.num_batches_tracked"].tolist() == 0
    assert found["norm.num_batches_tracked"].dtype == torch.int64
    network.load_state_dict(found)


def test_what_is_missing_left_over_or_of_another_shape_is_named(network, weights):
    del weights["norm.bias"], weights["conv.weight"]
    weights |= {"last.weight": torch.ones(5, 4), "queue": torch.ones(1), "fc.weight": torch.ones(1)}
    with pytest.raises(MismatchError) as refused:
        match_weights({"model": below("net.", weights)}, network)
    assert str(refused.value) == (
        "2 of the network's 7 tensors are not in it below model/net. (conv.weight, norm.bias); "
        "1 in it below model/net. are none of the network's (queue); "
        "last.weight is 5 x 4 in the file and 2 x 4 in the network; give weights of exactly this network"
    )
    assert refused.value.keys == ("conv.weight", "norm.bias", "queue", "last.weight")


def test_only_a_few_of_many_keys_are_named(network, weights):
    with pytest.raises(MismatchError, match=r"none of its 5 tensors \(a0, a1, a2 and 2 more\) is called like one of .* 7 \(conv"):
        match_weights({f"a{number}": torch.ones(1) for number in range(5)}, network)
    with pytest.raises(MismatchError, match="it holds no tensors by name"):
        match_weights({"state": {0: torch.ones(1)}}, network)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensor: tensor.to(torch.int8), "conv.weight holds int8, which no weight is"),
        (lambda tensor: tensor.to(torch.complex64), "conv.weight holds complex64"),
        (lambda tensor: tensor.to_sparse(), "conv.weight is quantised, sparse or without values"),
        (lambda tensor: tensor.to("meta"), "conv.weight is quantised, sparse or without values"),
        (lambda tensor: tensor / 0, r"it holds NaN or infinity \(conv.weight\)"),
        (lambda tensor: tensor.double() * 1e200, r"it holds NaN or infinity \(conv.weight\)"),
    ],
)
def test_what_is_no_weight_is_refused(network, weights, change, said):
    with pytest.raises(MismatchError, match=said):
        match_weights({**weights, "conv.weight": change(weights["conv.weight"])}, network)


def test_half_precision_is_taken_as_it_is_and_double_is_rounded_and_said(network, weights):
    halves = {name: tensor.half() for name, tensor in weights.items()}
    found = match_weights(halves, network)
    assert found.rounded == []
    assert same(found.tensors, {name: tensor.to(weights[name].dtype) for name, tensor in halves.items()})
    found = match_weights({**weights, "conv.weight": weights["conv.weight"].double()}, network)
    assert found.rounded == ["conv.weight"]
    assert same(found.tensors, weights)


def test_parts_of_one_long_tensor_come_as_tensors_of_their_own(network, weights):
    long = torch.cat([weights[name].flatten() for name in ("conv.weight", "last.weight")])
    parts = {"conv.weight": long[:108].view(4, 3, 3, 3), "last.weight": long[108:].view(2, 4)}
    found = match_weights({**weights, **parts}, network).tensors
    assert same(found, weights)
    assert found["last.weight"].untyped_storage().nbytes() == 2 * 4 * 4


def test_mappings_that_hold_each_other_end(network, weights):
    content = {"state_dict": weights}
    content["self"] = content
    assert same(match_weights(content, network).tensors, weights)


@pytest.mark.parametrize("name", ["resnet18", "timm/test_vit", "timm/test_convnext", "timm/resnet10t"])
def test_a_librarys_own_network_gives_its_backbone(name):
    backbone = build_backbone(name, image_size=160, stem="imagenet")
    torch.manual_seed(1)
    library = name.removeprefix("timm/")
    whole = timm.create_model(library).state_dict()  # timm has torchvision's ResNets under the same keys
    found = match_weights(whole, backbone)
    assert found.classifier
    assert whole.keys() - found.tensors.keys() == set(found.classifier)
    assert all(torch.equal(tensor, whole[key]) for key, tensor in found.tensors.items())
    backbone.load_state_dict(found.tensors)


def test_a_model_with_two_classifiers_names_both():
    assert classifier_names(SimpleNamespace(pretrained_cfg={"classifier": ("head", "head_dist")})) == ("head", "head_dist")
    assert classifier_names(build_backbone("wrn-10-1", image_size=32)) == ("fc",)
