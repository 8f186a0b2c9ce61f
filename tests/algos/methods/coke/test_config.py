"""What settings of CoKe are refused."""

from __future__ import annotations

import pytest

from algos.methods.coke.config import CoKeConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_size_ratio": 1.5}, "method.min_size_ratio"),
        ({"num_clusters": [1]}, "method.num_clusters"),
        ({"dual_lr": -1.0}, "method.dual_lr"),
        ({"temperature": 0.0}, "method.temperature"),
        ({"average_from": 0}, "method.average_from"),
        ({"average_from": 3, "target_centers": "current"}, "method.target_centers is current, but the second stage"),
        ({"average_from": 3, "target_labels": "current"}, "method.target_labels is current, but the second stage"),
        ({"predictor_hidden": -1}, "method.predictor_hidden is -1; it must be 0 or more"),
        ({"temperature": float("inf")}, r"method.temperature is inf; it must be positive and at most 1e\+30"),
    ],
)
def test_settings_out_of_range_name_their_key(settings, message):
    with pytest.raises(ValueError, match=message):
        CoKeConfig(**settings)
