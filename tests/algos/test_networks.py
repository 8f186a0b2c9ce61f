"""Backbones by name, their stems, and the heads."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from algos.networks import ProjectedNetwork, build_backbone, feature_size, predictor, projector


@pytest.mark.parametrize(
    ("name", "options", "size", "features"),
    [
        ("resnet18", {}, 32, 512),
        ("resnet18", {}, 96, 512),
        ("wrn-10-2", {}, 32, 128),
        ("timm/resnet10t", {"channels": [8, 16, 16, 32]}, 28, 32),
        ("timm/vit_tiny_patch16_224", {}, 224, 192),
        ("timm/mobilenetv3_small_050", {}, 64, 1024),  # a layer behind the 288 of its maps
        ("timm/lcnet_035", {}, 64, 1280),
    ],
)
def test_backbones_give_the_features_they_announce(name, options, size, features):
    network = build_backbone(name, image_size=size, options=options).eval()
    assert feature_size(network) == features
    assert network(torch.randn(2, 3, size, size)).shape == (2, features)


def test_small_images_get_a_stem_that_keeps_their_size():
    small, large = build_backbone("resnet18", image_size=32), build_backbone("resnet18", image_size=224)
    assert small.conv1.stride == (1, 1)
    assert isinstance(small.maxpool, nn.Identity)
    assert large.conv1.stride == (2, 2)


def test_wide_resnet_28_2_has_the_published_size():
    network = build_backbone("wrn-28-2", image_size=32)
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(1.47e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "resnet18"),
        ("timm/resnet5O", "timm has no model"),
        ("wrn-27-2", r"6 n \+ 4"),
        ("wrn-4-2", "from 10 on"),
        ("wrn-28-0", "wrn-28-2"),
        ("vgg16", "unknown backbone"),
        ("ResNet50", "nearest: resnet50 "),
        ("Timm/ResNet10T", "nearest: timm/resnet10t "),
        ("vit_tiny_patch16_224", "nearest: timm/vit_tiny_patch16_224 "),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(name, image_size=32)


@pytest.mark.parametrize("option", ["drop_path_rate", "drop_rate", "proj_drop_rate", "attn_drop"])
@pytest.mark.parametrize("share", [-0.1, 1, 1.0, 10])
def test_a_share_that_leaves_nothing_to_learn_from_is_refused(option, share):
    with pytest.raises(ValueError, match=f"timm/resnet10t' has {option} {share}; it is a share that is left out"):
        build_backbone("timm/resnet10t", image_size=32, options={option: share})


def test_wrong_options_and_stems_are_refused():
    with pytest.raises(ValueError, match="does not take the options"):
        build_backbone("resnet18", image_size=32, options={"wings": 2})
    with pytest.raises(ValueError, match="no ResNet stem"):
        build_backbone("wrn-10-1", image_size=32, stem="small")


def test_heads_are_built_as_published():
    kinds = [type(layer).__name__ for layer in projector(8, 4)]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d", "ReLU", "Linear", "BatchNorm1d"]
    assert [type(layer).__name__ for layer in predictor(4, 6)] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]


def test_views_of_one_size_share_a_pass_and_come_out_in_order():
    network = ProjectedNetwork(build_backbone("wrn-10-1", image_size=16), 8, 12).eval()
    images = [torch.randn(3, 3, 16, 16) for _ in range(2)]
    ((z, p),) = network([images])
    alone = [network([[image]])[0] for image in images]
    for view in range(2):
        torch.testing.assert_close(z[view], alone[view][0][0])
        torch.testing.assert_close(p[view], alone[view][1][0])
        torch.testing.assert_close(z[view].norm(dim=1), torch.ones(3))
