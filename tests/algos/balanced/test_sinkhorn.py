"""Balanced plans: by hand, against the iteration as the paper writes it, and over real workers."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from algos.balanced.plan_settings import LEAST_EPSILON, default_queue
from algos.balanced.sinkhorn import balanced_plan, balancing_prices


def similarities(rows=64, clusters=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    unit = F.normalize(torch.randn(rows + clusters, 16, generator=random, dtype=torch.float64), dim=1)
    return unit[:rows] @ unit[rows:].T


def as_published(scores, epsilon, iterations):
    """The matrix itself, scaled to a total of 1, its columns to 1 / K, its rows to 1 / B, and again; times B."""
    plan = (scores / epsilon).exp()
    plan /= plan.sum()
    for _ in range(iterations):
        plan /= plan.sum(dim=0, keepdim=True) * plan.shape[1]
        plan /= plan.sum(dim=1, keepdim=True) * plan.shape[0]
    return plan * plan.shape[0]


def plan_of(scores, epsilon=0.05, iterations=3):
    return balanced_plan(scores, balancing_prices([scores], epsilon=epsilon, iterations=iterations)[0], epsilon)


@pytest.mark.parametrize(("epsilon", "iterations"), [(0.05, 1), (0.05, 3), (0.3, 10)])
def test_the_plan_is_that_of_the_published_iteration(epsilon, iterations):
    scores = similarities()
    torch.testing.assert_close(plan_of(scores, epsilon, iterations), as_published(scores, epsilon, iterations))


def test_one_iteration_by_hand():
    # exp(s / eps) = [[1, 2], [4, 4]]: columns total 5 and 6, so the first row is 1/5 : 2/6 = 3 : 5 and the second 6 : 5.
    scores = torch.tensor([[1.0, 2.0], [4.0, 4.0]], dtype=torch.float64).log() * 0.5
    torch.testing.assert_close(plan_of(scores, 0.5, 1), torch.tensor([[3 / 8, 5 / 8], [6 / 11, 5 / 11]], dtype=torch.float64))


def test_rows_sum_to_one_and_many_iterations_make_columns_equal():
    scores = similarities()
    torch.testing.assert_close(plan_of(scores).sum(dim=1), torch.ones(64, dtype=torch.float64))
    torch.testing.assert_close(plan_of(scores, iterations=500).sum(dim=0), torch.full((8,), 8.0, dtype=torch.float64))
    assert plan_of(scores).sum(dim=0).std() < scores.div(0.05).softmax(dim=1).sum(dim=0).std()  # after few, only more so


def test_equal_scores_are_shared_out_and_a_constant_added_to_all_changes_nothing():
    torch.testing.assert_close(plan_of(torch.full((6, 4), 0.3)), torch.full((6, 4), 0.25, dtype=torch.float64))
    scores = similarities()
    torch.testing.assert_close(plan_of(scores - 0.7), plan_of(scores))


def test_the_sharpest_plan_stays_finite_where_a_cluster_is_far_from_every_row():
    scores = torch.tensor([[1.0, -1.0, -1.0], [1.0, 0.9, -1.0]])
    assert plan_of(scores, LEAST_EPSILON, 50).isfinite().all()


def test_heads_do_not_know_of_each_other():
    first, second = similarities(), similarities(clusters=5, seed=1)
    both = balancing_prices([first, second], epsilon=0.05, iterations=3)
    for head, prices in zip((first, second), both, strict=True):
        torch.testing.assert_close(prices, balancing_prices([head], epsilon=0.05, iterations=3)[0])


def test_the_default_queue_is_the_published_one():
    assert [default_queue(3000, batch) for batch in (256, 4096)] == [3840, 0]
    assert default_queue(60, 32) == 64  # 80 rows for 60 clusters, in whole batches


def _prices(bounds):
    rank = dist.get_rank()
    return balancing_prices([similarities()[bounds[rank] : bounds[rank + 1]]], epsilon=0.05, iterations=3)[0]


def test_workers_with_different_rows_have_the_prices_of_one(gloo):
    [alone] = balancing_prices([similarities()], epsilon=0.05, iterations=3)
    for prices in gloo(2, _prices, [0, 20, 64]):
        torch.testing.assert_close(prices, alone, atol=1e-12, rtol=0)
