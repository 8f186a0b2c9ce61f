"""Shares of the classes among images without a label, and the logits of labelled rows, by hand and on several workers."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
import torch.nn.functional as F

from algos.methods.protocon.label_shift import LEAST, LabelShift

GUESSES = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.8, 0.2], [0.8, 0.2]])  # their mean: 0.8, 0.2


def after_an_epoch(shift: LabelShift, guesses: torch.Tensor) -> torch.Tensor:
    shift.collect(guesses)
    shift.exchange()
    shift.end_epoch()
    return shift.shares


def test_shares_are_equal_at_first_and_then_the_mean_of_an_epoch():
    shift = LabelShift(2)
    assert shift.shares.tolist() == [0.5, 0.5]
    torch.testing.assert_close(after_an_epoch(shift, GUESSES), torch.tensor([0.8, 0.2]))
    torch.testing.assert_close(after_an_epoch(shift, GUESSES.flip(1)), torch.tensor([0.2, 0.8]))  # of that epoch alone


def test_a_power_below_one_holds_to_equal_shares():
    torch.testing.assert_close(after_an_epoch(LabelShift(2, power=0.5), GUESSES), torch.tensor([2 / 3, 1 / 3]))
    torch.testing.assert_close(after_an_epoch(LabelShift(2, power=0.0), GUESSES), torch.tensor([0.5, 0.5]))


def test_a_class_that_nothing_was_taken_for_can_come_back():
    shares = after_an_epoch(LabelShift(2), torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(shares, torch.tensor([1.0, LEAST / 2]) / (1 + LEAST / 2))


def test_an_epoch_without_guesses_keeps_the_shares():
    shift = LabelShift(2)
    after_an_epoch(shift, GUESSES)
    shift.end_epoch()
    torch.testing.assert_close(shift.shares, torch.tensor([0.8, 0.2]))


def test_labelled_rows_teach_the_shares_of_the_others():
    """Of labels drawn 1 : 3, a row that both classes have alike is learned as what the shares 0.8 : 0.2 say."""
    shift = LabelShift(2, [10, 30])
    after_an_epoch(shift, GUESSES)
    says_the_shares = shift.shares.log()[None]
    taught = F.softmax(shift.of_labelled(says_the_shares), dim=1)
    torch.testing.assert_close(taught, torch.tensor([[0.25, 0.75]]))  # what labels of this row are: no gradient is left
    equal = LabelShift(2)
    assert torch.equal(equal.of_labelled(says_the_shares), says_the_shares)


def test_a_class_without_a_label_keeps_its_logits():
    shift = LabelShift(3, [5, 5, 0])
    shift.collect(torch.tensor([[0.5, 0.25, 0.25]]))
    shift.exchange()
    shift.end_epoch()
    expected = torch.tensor([[math.log(0.5 / 0.5), math.log(0.5 / 0.25), 0.0]])
    torch.testing.assert_close(shift.of_labelled(torch.zeros(1, 3)), expected)


def _mine(workers: int) -> torch.Tensor:
    rank = dist.get_rank() if dist.is_initialized() else 0
    return after_an_epoch(LabelShift(2), GUESSES[rank::workers])


def test_workers_share_their_guesses(gloo):
    for shares in gloo(2, _mine, 2):
        torch.testing.assert_close(shares, _mine(1))


def test_in_mid_epoch_the_state_has_what_was_collected():
    straight, resumed = LabelShift(2), LabelShift(2)
    straight.collect(GUESSES[:3])
    straight.exchange()
    resumed.load_state_dict(straight.state_dict())
    assert torch.equal(after_an_epoch(straight, GUESSES[3:]), after_an_epoch(resumed, GUESSES[3:]))
