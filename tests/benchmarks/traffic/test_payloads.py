"""What a worker sends, by hand: sums in a ring, and rows that each worker has a share of."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.method import CoKe
from benchmarks.traffic.payloads import Payloads
from pipelines.views.view_config import ViewConfig, Views


class Backbone(nn.Module):
    """12 features of 3 x 2 x 2 pixels; its offset is not trained."""

    num_features = 12

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(12))
        self.offset = nn.Parameter(torch.zeros(12), requires_grad=False)

    def forward(self, images):
        return images.flatten(1) * self.weight + self.offset


@pytest.fixture
def payloads():
    config = CoKeConfig(num_clusters=[4, 6], dim=8, predictor_weight=0.0, label_weight=1.0)
    method = CoKe(config, Backbone(), num_instances=100, batch_size=20)
    views = Views([ViewConfig(2)], [ViewConfig(4)])
    trained = sum(weight.numel() for weight in method.network.parameters()) - 12
    return Payloads.of(method, views), trained


def test_the_payloads_are_weights_statistics_memory_and_pixels(payloads):
    found, trained = payloads
    assert found.gradients == 4 * trained
    assert found.clustering == 8 * (4 + 6) * (8 + 1)  # counts and sums, in float64
    assert found.exchange == 8 + 2 * 4  # an id and a label of each head
    assert found.images == 16 + 3 * (2 * 2 + 4 * 4)


@pytest.mark.parametrize(("workers", "share"), [(1, 0.0), (2, 1.0), (4, 1.5), (512, 2 * 511 / 512)])
def test_a_sum_in_a_ring_approaches_twice_the_payload(payloads, workers, share):
    found, _ = payloads
    assert found.sent("clustering", workers) == pytest.approx(share * found.clustering)


def test_each_worker_sends_its_share_of_the_instances_to_all_others(payloads):
    found, _ = payloads
    assert found.exchanged(1, 100) == 0
    assert found.exchanged(4, 100) == 3 * 25 * 16
    assert found.received(4, 20) == 5 * found.images
