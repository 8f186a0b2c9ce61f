"""What settings of SeCu are refused."""

from __future__ import annotations

import pytest

from algos.methods.secu.config import SeCuConfig


@pytest.mark.parametrize(
    "settings",
    [
        {"min_size_ratio": 1.5}, {"max_size_ratio": 0.5}, {"num_clusters": [1]}, {"num_clusters": []}, {"dual_lr": -1.0},
        {"temperature": 0.0}, {"center_temperature": 0.0}, {"label_weight": 2.0}, {"center_lr": 0.0}, {"center_lr": float("inf")},
        {"center_momentum": 1.0}, {"center_weight_decay": -1.0}, {"center_trust": 0.0}, {"predictor_hidden": -1}, {"dim": 0},
    ],
    ids=str,
)  # fmt: skip
def test_settings_out_of_range_name_their_key(settings):
    [key] = settings
    with pytest.raises(ValueError, match=f"method.{key}"):
        SeCuConfig(**settings)
