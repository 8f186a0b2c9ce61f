"""The self-supervised consistency by hand."""

from __future__ import annotations

import torch

from algos.methods.protocon.consistency import MOMENTUM, SHARPENING, Consistency

WEAK, STRONG = torch.tensor([[1.0, 0.0], [0.6, 0.8]]), torch.tensor([[0.0, 1.0], [0.8, 0.6]])


def test_targets_are_sharper_and_without_a_gradient():
    consistency = Consistency(2, 0.5)
    targets = consistency.targets(WEAK.clone().requires_grad_())
    assert not targets.requires_grad
    logits = WEAK * SHARPENING / 0.5
    torch.testing.assert_close(targets, logits.exp() / logits.exp().sum(dim=1, keepdim=True))


def test_the_loss_is_the_cross_entropy_of_the_strong_view():
    consistency = Consistency(2, 0.5)
    targets = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    log_shares = (STRONG / 0.5) - (STRONG / 0.5).exp().sum(dim=1, keepdim=True).log()
    torch.testing.assert_close(consistency.loss(STRONG, targets), -(targets * log_shares).sum(dim=1))


def test_a_dimension_that_all_rows_favour_is_centred_away():
    consistency = Consistency(2, 0.5)
    mean = torch.tensor([1.0, 0.0])
    consistency.finish(mean)
    torch.testing.assert_close(consistency.center, (1 - MOMENTUM) * mean)
    consistency.finish(mean)
    torch.testing.assert_close(consistency.center, (1 - MOMENTUM**2) * mean)
    even = torch.full((1, 2), 0.5**0.5)
    assert consistency.targets(even)[0, 0] < consistency.targets(even)[0, 1]
