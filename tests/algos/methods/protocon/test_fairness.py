"""FreeMatch's fairness, by hand, and on several workers."""

from __future__ import annotations

import math

import pytest
import torch
import torch.distributed as dist

from algos.methods.protocon.fairness import Fairness

STRONG = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8], [0.9, 0.1]]).log()
GUESSES = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.7, 0.3]])
WEIGHTS = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])


def test_two_batches_by_hand():
    fairness = Fairness(2, 0.5)
    loss = fairness.loss(STRONG, GUESSES, WEIGHTS)
    # pt = (0.5 + 0.66, 0.5 + 0.34) / 2, ht = (0.5 + 0.8, 0.5 + 0.2) / 2; of three rows P = (1.4, 1.6) / 3, h = (2, 1) / 3
    running = torch.tensor([0.58 / 0.65, 0.42 / 0.35])
    strong = torch.tensor([1.4 / 2, 1.6 / 1])
    torch.testing.assert_close(loss, (running / running.sum() * (strong / strong.sum()).log()).sum())
    fairness.finish()
    loss = fairness.loss(STRONG[:1], GUESSES[:1], WEIGHTS[:1])  # a class that no row is guessed for has a ratio of 0
    running = torch.tensor([(0.58 + 0.9) / (0.65 + 1.0), (0.42 + 0.1) / 0.35])
    expected = (running / running.sum() * torch.tensor([0.0, math.log(1e-12)])).sum()
    torch.testing.assert_close(loss, expected)


def test_it_is_largest_where_the_strong_views_favour_nothing_as_it_is_published():
    rows = torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    even = Fairness(2, 0.999).loss(rows.log(), rows, torch.ones(2))
    assert float(even) == pytest.approx(-math.log(2), rel=1e-3)
    leaning = Fairness(2, 0.999).loss(torch.tensor([[0.9, 0.1], [0.4, 0.6]]).log(), rows, torch.ones(2))
    assert float(leaning) == pytest.approx((math.log(0.65) + math.log(0.35)) / 2, rel=1e-2)
    assert float(leaning) < float(even)


def test_without_a_trusted_row_it_is_0_and_so_is_its_gradient():
    strong = STRONG.clone().requires_grad_()
    loss = Fairness(2, 0.5).loss(strong, GUESSES, torch.zeros(5))
    loss.backward()
    assert float(loss) == 0.0
    assert strong.grad.tolist() == torch.zeros(5, 2).tolist()


def test_its_gradient_is_that_of_the_formula():
    strong = STRONG.double().requires_grad_()
    weights, guesses = WEIGHTS.double(), GUESSES.double()
    assert torch.autograd.gradcheck(lambda rows: Fairness(2, 0.5).double().loss(rows, guesses, weights), (strong,))


def _steps(parts: list[slice]) -> tuple[list[float], list[torch.Tensor], torch.Tensor]:
    mine = parts[dist.get_rank() if dist.is_initialized() else 0]
    fairness, losses, gradients = Fairness(2, 0.5), [], []
    for _ in range(2):
        strong = STRONG[mine].clone().requires_grad_()
        loss = fairness.loss(strong, GUESSES[mine], WEIGHTS[mine])
        loss.backward()
        fairness.finish()
        losses.append(float(loss))
        gradients.append(strong.grad * len(strong) / len(STRONG))  # as the mean over workers weighs it
    return losses, gradients, fairness.histogram.value


def test_workers_of_unequal_rows_have_the_loss_and_the_gradient_of_one_process(gloo):
    losses, gradients, histogram = _steps([slice(None)])
    workers = gloo(2, _steps, [slice(0, 2), slice(2, 5)])
    for other, _, its in workers:
        assert other == pytest.approx(losses)
        torch.testing.assert_close(its, histogram)
    for step, gradient in enumerate(gradients):
        torch.testing.assert_close(torch.cat([parts[step] for _, parts, _ in workers]), gradient)
