"""SoftMatch's weights, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from algos.methods.protocon.confidence.rule import Evidence
from algos.methods.protocon.confidence.softmatch import SoftMatch


def judge(rule, *confidence):
    first = torch.tensor(confidence)
    trust = rule.judge(Evidence(torch.stack([first, 1 - first], dim=1), torch.tensor(1.0)))
    rule.finish_update()
    return trust


def test_rows_below_the_running_mean_count_less_by_its_running_variance():
    rule = SoftMatch(2, 0.5)
    judge(rule, 0.9, 0.6, 0.6)  # mean 0.7, unbiased variance 0.03
    assert (float(rule.mean.value), float(rule.variance.value)) == pytest.approx((0.6, 0.515))
    trust = judge(rule, 0.5, 0.7)  # mean 0.6, unbiased variance 0.02
    assert (float(rule.mean.value), float(rule.variance.value)) == pytest.approx((0.6, 0.2675))
    assert trust.weights.tolist() == pytest.approx([math.exp(-0.01 / (2 * 0.2675 / 4)), 1.0])
    assert trust.reliable.tolist() == [True, True]
    assert float(trust.thresholds) == pytest.approx(0.6)


def test_half_a_deviation_below_the_mean_counts_exp_of_a_half():
    rule = SoftMatch(2, 1.0)  # nothing moves: m = 0.7, v = 0.01
    rule.mean.value, rule.variance.value = torch.tensor(0.7), torch.tensor(0.01)
    assert judge(rule, 0.7, 0.65, 0.5).weights.tolist() == pytest.approx([1.0, math.exp(-0.5), math.exp(-8)])
    assert judge(rule, 0.7, 0.5).reliable.tolist() == [True, False]


def test_one_row_has_no_variance_and_equal_rows_have_none_without_a_division_by_zero():
    rule = SoftMatch(2, 0.5)
    judge(rule, 0.9)
    assert (float(rule.mean.value), float(rule.variance.value)) == pytest.approx((0.7, 1.0))
    without_memory = SoftMatch(2, 0.0)
    assert judge(without_memory, 0.8, 0.8).weights.tolist() == [1.0, 1.0]
