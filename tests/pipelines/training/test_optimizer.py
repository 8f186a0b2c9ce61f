"""Parameter groups, the schedule, mixed precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pipelines.training.optimizer import build_optimizer, learning_rate

SETTINGS = {
    "name": "lars", "lr": 1.0, "momentum": 0.0, "weight_decay": 1e-9, "nesterov": False, "trust_coefficient": 0.01,
}  # fmt: skip


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


def test_schedule_by_hand():
    assert learning_rate(-0.5, 12, peak=2.0, warmup_epochs=4) == 0.0
    assert learning_rate(1.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(0.5)
    assert learning_rate(4.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(2.0)
    assert learning_rate(8.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(1.0)
    assert learning_rate(12.0, 12, peak=2.0, warmup_epochs=4) == pytest.approx(0.0)
