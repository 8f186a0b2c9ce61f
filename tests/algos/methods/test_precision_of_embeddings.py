"""Clusters of images are found in fp32, whatever precision the network runs in."""

from __future__ import annotations

import pytest
import torch

from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.method import CoKe
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.method import ProtoCon
from tests.helpers.runs.method_training import Flat

METHODS = {
    "coke": lambda: CoKe(CoKeConfig(num_clusters=[40, 30], dim=6), Flat(), num_instances=200, batch_size=20),
    "protocon": lambda: ProtoCon(
        ProtoConConfig(num_clusters=[40, 30], dim=6), Flat(), num_classes=3, num_instances=200, batch_size=20
    ),
}


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
@torch.no_grad()
def test_autocast_moves_no_image_to_another_cluster(make):
    torch.manual_seed(0)
    method, images = make(), torch.randn(200, 3, 2, 2)
    features, clusters = method.embed(images)
    with torch.autocast("cpu", torch.bfloat16):
        same_features, same_clusters = method.embed(images)
    assert torch.equal(features, same_features)  # this backbone computes nothing
    assert torch.equal(clusters, same_clusters)
