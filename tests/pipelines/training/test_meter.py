"""Figures between two log points."""

from __future__ import annotations

import pytest
import torch

from pipelines.errors import UserError
from pipelines.training.meter import Meter


def test_loss_is_the_mean_over_rows_and_starts_anew():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), 3)
    meter.add(torch.tensor(5.0), 1)
    assert meter.read(0)["train/loss"] == pytest.approx(2.0)
    meter.add(torch.tensor(4.0), 2)
    assert meter.read(1)["train/loss"] == pytest.approx(4.0)
    assert meter.read_epoch(1, close=True) == pytest.approx(16 / 6)
    meter.add(torch.tensor(3.0), 1)
    assert meter.read_epoch(2, close=False) == pytest.approx(3.0)


def test_rate_counts_only_what_came_after_the_clock_was_restarted():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), 1000)
    meter.restart_clock()
    assert meter.read(0)["stream/images_per_second"] == 0.0


def test_a_loss_that_is_not_finite_stops_the_run_in_words():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(float("nan")), 2)
    with pytest.raises(UserError, match=r"at step 7; start a new run with a lower optimizer.lr"):
        meter.read(7)
    with pytest.raises(UserError, match="loss is nan"):
        meter.read_epoch(7, close=True)
