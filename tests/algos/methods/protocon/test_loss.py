"""The parts of ProtoCon's loss, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from algos.methods.protocon.confidence.fixed import Fixed
from algos.methods.protocon.confidence.rule import Evidence
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.loss import LossParts, PseudoLabels, consistency_loss, label_loss, pseudo_label_loss

EVEN = torch.zeros(2, 4)  # logits that say nothing: a cross-entropy of log 4


def test_a_row_that_is_not_trusted_counts_as_zero_not_as_absent():
    classes, trusted = torch.tensor([0, 3]), torch.tensor([1.0, 0.0])
    assert float(label_loss(EVEN, classes)) == pytest.approx(math.log(4))
    assert float(pseudo_label_loss(EVEN, classes, trusted)) == pytest.approx(math.log(4) / 2)
    assert float(pseudo_label_loss(EVEN, torch.full((2, 4), 0.25), trusted)) == pytest.approx(math.log(4) / 2)


def test_consistency_is_of_all_rows_or_of_those_that_are_not_trusted():
    rows, trusted = torch.tensor([2.0, 4.0]), torch.tensor([1.0, 0.0])
    assert float(consistency_loss(rows, trusted, unreliable_only=False)) == 3.0
    assert float(consistency_loss(rows, trusted, unreliable_only=True)) == 2.0


def test_a_pseudo_label_is_reliable_from_the_threshold_on():
    guesses, refined = torch.tensor([[0.9, 0.1], [0.4, 0.6]]), torch.tensor([[0.75, 0.25], [0.6, 0.4]])
    made = PseudoLabels.of(guesses, refined, Fixed(0.75).judge(Evidence(refined, torch.tensor(1.0))))
    assert made.reliable.tolist() == [True, False]
    assert (made.guess.tolist(), made.hard.tolist()) == ([0, 1], [0, 0])
    assert torch.equal(made.targets(soft=True), refined)
    assert torch.equal(made.targets(soft=False), made.hard)


def test_parts_are_weighed_and_those_of_no_weight_are_out_of_the_graph():
    parts = LossParts(*(torch.tensor(float(value), requires_grad=True) for value in (1, 2, 4, 8, 16)))
    loss = parts.weighed(ProtoConConfig(unlabelled_weight=0.5, prototype_weight=0.0, consistency_weight=2.0))
    assert float(loss.detach()) == 1 + 0.5 * 2 + 2 * 16
    loss.backward()
    assert [part.grad is None for part in parts.all] == [False, False, True, True, False]
