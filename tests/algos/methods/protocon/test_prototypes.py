"""Prototypes by hand, and over workers."""

from __future__ import annotations

import torch
import torch.distributed as dist

from algos.methods.protocon.prototypes import Prototypes

ROWS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
CLASSES, TRUSTED = torch.tensor([0, 0, 1, 1]), torch.tensor([1.0, 1.0, 1.0, 0.0])
MEANS = torch.tensor([[0.5**0.5, 0.5**0.5], [0.0, 1.0], [0.0, 0.0]])


def test_prototypes_are_directions_of_means_and_survive_an_epoch_without_rows():
    prototypes = Prototypes(3, 2)
    assert torch.equal(prototypes.logits(torch.ones(1, 2), 0.1), torch.zeros(1, 3))
    prototypes.collect(ROWS, CLASSES, TRUSTED)
    prototypes.exchange()
    prototypes.end_epoch()
    torch.testing.assert_close(prototypes.prototypes, MEANS)
    prototypes.collect(ROWS[:1], torch.tensor([2]))
    prototypes.exchange()
    prototypes.end_epoch()
    torch.testing.assert_close(prototypes.prototypes, torch.cat([MEANS[:2], torch.tensor([[1.0, 0.0]])]))


def test_logits_are_similarities_over_the_temperature():
    prototypes = Prototypes(3, 2)
    prototypes.prototypes.copy_(MEANS)
    torch.testing.assert_close(prototypes.logits(ROWS[1:2], 0.5), torch.tensor([[2**0.5, 2.0, 0.0]]))


def test_a_state_taken_in_mid_epoch_goes_on_to_the_same_prototypes():
    whole, cut, resumed = (Prototypes(3, 2) for _ in range(3))
    for one in (whole, cut):
        one.collect(ROWS[:2], CLASSES[:2])
        one.exchange()
    resumed.load_state_dict(cut.state_dict())
    for one in (whole, resumed):
        one.collect(ROWS[2:], CLASSES[2:], TRUSTED[2:])
        one.exchange()
        one.end_epoch()
    assert torch.equal(whole.prototypes, resumed.prototypes)


def _of_a_share() -> torch.Tensor:
    prototypes, mine = Prototypes(3, 2), slice(2 * dist.get_rank(), 2 * dist.get_rank() + 2)
    prototypes.collect(ROWS[mine], CLASSES[mine], TRUSTED[mine])
    prototypes.exchange()
    prototypes.end_epoch()
    return prototypes.prototypes


def test_each_worker_has_the_prototypes_of_all_rows(gloo):
    for made in gloo(2, _of_a_share):
        torch.testing.assert_close(made, MEANS)
