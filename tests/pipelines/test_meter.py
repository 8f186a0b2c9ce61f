"""Figures between two log points."""

from __future__ import annotations

import pytest
import torch

from pipelines.errors import UserError
from pipelines.meter import Meter


def test_loss_is_the_mean_over_rows_and_starts_anew():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), 3)
    meter.add(torch.tensor(5.0), 1)
    assert meter.read(0)["loss"] == pytest.approx(2.0)
    meter.add(torch.tensor(4.0), 2)
    assert meter.read(1)["loss"] == pytest.approx(4.0)
    assert meter.read_epoch() == pytest.approx(16 / 6)


def test_a_loss_that_is_not_finite_stops_the_run_in_words():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(float("nan")), 2)
    with pytest.raises(UserError, match=r"at step 7; lower optimizer.lr"):
        meter.read(7)
