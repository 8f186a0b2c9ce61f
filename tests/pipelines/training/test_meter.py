"""Figures between two log points."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn

from pipelines.errors import UserError
from pipelines.training.meter import Meter


def test_loss_is_the_mean_over_rows_and_starts_anew():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), 3)
    meter.add(torch.tensor(5.0), 1)
    assert meter.read(0)["train/loss"] == pytest.approx(2.0)
    meter.add(torch.tensor(4.0), 2)
    assert meter.read(1)["train/loss"] == pytest.approx(4.0)
    assert meter.read_epoch(1) == pytest.approx(16 / 6)
    meter.add(torch.tensor(3.0), 1)
    assert meter.read_epoch(2) == pytest.approx(3.0)


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
        meter.read_epoch(7)
    with pytest.raises(UserError, match="loss is nan"):
        meter.exchange(7)


def test_what_to_do_is_said_by_the_keys_of_the_job():
    meter, network = Meter(torch.device("cpu"), "lower the rate"), nn.Linear(2, 1)
    meter.check_weights(network, 3)
    meter.add(torch.tensor(float("inf")), 2)
    with pytest.raises(UserError, match=r"^the loss is inf at step 3; lower the rate$"):
        meter.read_epoch(3)
    nn.init.constant_(network.bias, float("nan"))
    with pytest.raises(UserError, match=r"^bias of the network is not finite after step 3; lower the rate$"):
        meter.check_weights(network, 3)


def test_a_meter_that_was_saved_goes_on_with_the_same_means():
    whole, first, second = (Meter(torch.device("cpu")) for _ in range(3))
    for meter in (whole, first):
        meter.add(torch.tensor(1.0), 3)
        meter.exchange(1)
    second.load_state_dict(first.state_dict())
    for meter in (whole, second):
        meter.add(torch.tensor(5.0), 1)
    assert second.read(2)["train/loss"] == whole.read(2)["train/loss"] == pytest.approx(2.0)
    assert second.read_epoch(2) == whole.read_epoch(2) == pytest.approx(2.0)


def losses(shares: list[list[tuple[float, int]]]) -> tuple[float, float]:
    """The means of a meter on each worker that is saved in between."""
    meter = Meter(torch.device("cpu"))
    for loss, rows in shares[dist.get_rank()]:
        meter.add(torch.tensor(loss), rows)
        meter.exchange(0)
    return meter.read(1)["train/loss"], meter.read_epoch(1)


def test_means_are_over_the_rows_of_all_workers(gloo):
    assert gloo(2, losses, [[(1.0, 2), (2.0, 2)], [(3.0, 1), (0.0, 3)]]) == [(pytest.approx(9 / 8), pytest.approx(9 / 8))] * 2


def wait_share(waits: list[float]) -> float:
    """What a meter says of workers that waited so many seconds each, of a hundred."""
    meter = Meter(torch.device("cpu"))
    meter._since -= 100
    meter.waited(waits[dist.get_rank()])
    return meter.read(1)["stream/wait_share"]


def test_the_share_of_waiting_is_the_mean_of_all_workers(gloo):
    assert gloo(2, wait_share, [0.0, 50.0]) == [pytest.approx(0.25, abs=0.01)] * 2


def test_the_norm_of_the_gradient_is_the_mean_of_the_steps_that_did_not_overflow():
    meter = Meter(torch.device("cpu"))
    meter.add(torch.tensor(1.0), 1)
    assert "train/gradient_norm" not in meter.read(0)
    for norm in (2.0, float("inf"), 4.0, float("nan")):
        meter.add(torch.tensor(1.0), 1)
        meter.add_gradient(torch.tensor(norm))
    meter.exchange(4)
    again = Meter(torch.device("cpu"))
    again.load_state_dict(meter.state_dict())
    assert meter.read(4)["train/gradient_norm"] == again.read(4)["train/gradient_norm"] == 3.0


def test_the_sums_of_a_checkpoint_that_counted_no_gradients_are_read():
    meter = Meter(torch.device("cpu"))
    state = {name: sums for name, sums in meter.state_dict().items() if name != "gradients"}
    meter.load_state_dict(state)
    assert meter.read(0)["train/loss"] == 0.0
