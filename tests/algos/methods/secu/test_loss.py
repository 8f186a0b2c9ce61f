"""The loss on centers: by hand, and its gradient against that of the loss as it is written."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from algos.methods.secu.loss import center_loss, descent


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def test_by_hand():
    # Similarities .8 and .6 at T = .2 are logits 4 and 3: p_y = 1 / (1 + e) for the second cluster.
    rows, centers = torch.tensor([[0.8, 0.6]]), torch.eye(2)
    loss, pulls = center_loss(rows, centers, torch.tensor([1]), 0.2)
    share = 1 / (1 + math.e)
    assert float(loss) == pytest.approx(-math.log(share))
    torch.testing.assert_close(pulls, (1 - share) / 0.2 * rows)


def test_a_hard_row_pulls_more_than_an_easy_one():
    rows = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    _, pulls = center_loss(rows, torch.eye(2), torch.tensor([0, 0]), 0.5)
    easy, hard = pulls.norm(dim=1)
    assert hard > 2 * easy


def test_the_descent_is_the_gradient_of_the_loss_whose_other_logits_are_constants():
    rows, labels = unit(6, 4), torch.tensor([0, 0, 1, 3, 3, 3])  # none in cluster 2
    weights = (unit(5, 4, seed=1) * torch.tensor([[1.0], [2.0], [0.5], [1.5], [3.0]], dtype=torch.float64)).requires_grad_()
    logits = rows @ F.normalize(weights, dim=1).T / 0.3
    own = F.one_hot(labels, 5).bool()
    F.cross_entropy(torch.where(own, logits, logits.detach()), labels).backward()
    _, pulls = center_loss(rows, F.normalize(weights.detach(), dim=1), labels, 0.3)
    summed = torch.zeros(5, 4, dtype=torch.float64).index_add_(0, labels, pulls) / len(rows)
    torch.testing.assert_close(descent(weights.detach(), summed), weights.grad)
    assert weights.grad[[2, 4]].abs().sum() == 0  # a cluster without a row is not pushed away


def test_a_step_is_at_right_angles_to_its_center():
    weights = unit(3, 4) * 2
    assert (descent(weights, unit(3, 4, seed=5)) * weights).sum(dim=1).abs().max() < 1e-12
