"""CoKe's loss against recorded values and by hand."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from algos.methods.coke.loss import Embeddings, LossWeights, cluster_loss


@pytest.fixture(scope="module")
def recorded(golden):
    data, _ = golden("coke_losses")
    return data


def mean_over_heads(data, weights, *, large, small=0, soft=False):
    def views(first, count):
        rows = range(first, first + count)
        return Embeddings([data["proj"][i] for i in rows], [data["pred"][i] for i in rows])

    crops = views(2, small) if small else None
    kind = "soft" if soft else "labels"
    losses = [cluster_loss(views(0, large), crops, data[f"centers_{j}"], data[f"{kind}_{j}"], weights) for j in (0, 1)]
    return torch.stack(losses).mean()


ONE = LossWeights(temperature=0.1, predictor_weight=0.7)
TWO = LossWeights(temperature=0.05, label_weight=0.2, predictor_weight=0.5)


@pytest.mark.parametrize(
    ("name", "weights", "options"),
    [
        ("single_hard", ONE, {"large": 1}),
        ("single_soft", ONE, {"large": 1, "soft": True}),
        ("two_view", TWO, {"large": 2}),
        ("multi_crop", TWO, {"large": 2, "small": 3}),
        ("multi_crop_small", LossWeights(0.05, 0.2, 0.5, large_weight=0.0), {"large": 2, "small": 3}),
    ],
)
def test_recorded_losses(recorded, name, weights, options):
    torch.testing.assert_close(mean_over_heads(recorded, weights, **options), recorded[name], atol=1e-5, rtol=1e-5)


def test_one_view_by_hand():
    centers = torch.eye(2)
    rows = Embeddings([torch.tensor([[1.0, 0.0]])], [torch.tensor([[1.0, 0.0]])])
    loss = cluster_loss(rows, None, centers, torch.tensor([1]), LossWeights(temperature=0.5))
    assert float(loss) == pytest.approx(math.log(1 + math.exp(2.0)))


def test_the_other_views_belief_carries_no_gradient():
    z = F.normalize(torch.randn(2, 5, 4), dim=2).requires_grad_()
    views = Embeddings(list(z), list(z.detach()))
    weights = LossWeights(label_weight=0.0, predictor_weight=1.0)
    loss = cluster_loss(views, None, F.normalize(torch.randn(3, 4), dim=1), torch.zeros(5, dtype=torch.int64), weights)
    assert not loss.requires_grad
