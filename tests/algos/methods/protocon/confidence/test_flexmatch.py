"""FlexMatch's counts and thresholds, by hand."""

from __future__ import annotations

import pytest
import torch

from algos.methods.protocon.confidence.flexmatch import LEARNED, FlexMatch
from algos.methods.protocon.confidence.rule import Evidence


def step(rule, first, before):
    """Trust in one global batch of two classes, and what its instances have from then on.

    Takes probabilities of the first class, and what the instances had before.
    """
    first = torch.tensor(first)
    trust = rule.judge(Evidence(torch.stack([first, 1 - first], dim=1), torch.tensor(1.0), {LEARNED: torch.tensor([before])}))
    rule.begin_update()
    rule.finish_update()
    return trust, trust.remembered[LEARNED][0].tolist()


def test_the_threshold_of_a_class_rises_with_the_instances_that_are_sure_of_it():
    rule = FlexMatch(2, 4, 0.95)
    trust, after = step(rule, [0.96, 0.97, 0.05, 0.4], [0, 0, 0, 0])
    assert trust.weights.tolist() == [1.0] * 4  # thresholds are 0 at first
    assert after == [1, 1, 2, 0]
    assert (rule.counts.tolist(), rule.beta.tolist()) == ([2, 1], [1.0, 0.5])
    trust, after = step(rule, [0.94, 0.01, 0.6, 0.3], after)
    torch.testing.assert_close(trust.thresholds, torch.tensor([0.95, 0.95 / 3, 0.95, 0.95 / 3]))
    assert trust.weights.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert after == [1, 2, 2, 0]  # none of them returns to 0, and only the fixed threshold moves one
    assert (rule.counts.tolist(), rule.beta.tolist()) == ([1, 2], [0.5, 1.0])


def test_instances_without_a_class_hold_all_thresholds_down_while_they_are_the_most():
    rule = FlexMatch(2, 10, 0.95)
    step(rule, [0.96, 0.97, 0.01], [0, 0, 0])
    torch.testing.assert_close(rule.beta, torch.tensor([2 / 7, 1 / 7]))


def test_thresholds_stay_while_all_instances_are_of_one_kind():
    rule = FlexMatch(2, 2, 0.95)
    step(rule, [0.99, 0.98], [0, 0])
    assert (rule.counts.tolist(), rule.beta.tolist()) == ([2, 0], [0.0, 0.0])


def test_micro_batches_make_one_batch_whose_counts_act_from_the_next_on():
    rule = FlexMatch(2, 4, 0.95)
    nothing = {LEARNED: torch.zeros(1, 2, dtype=torch.int64)}
    for guesses in ([[0.96, 0.04], [0.97, 0.03]], [[0.01, 0.99], [0.5, 0.5]]):
        rows = Evidence(torch.tensor(guesses), torch.tensor(1.0), nothing)
        assert rule.judge(rows).thresholds.tolist() == [0.0, 0.0]
    rule.begin_update()
    rule.finish_update()
    assert rule.counts.tolist() == [2, 1]
    rule.begin_update()
    rule.finish_update()
    assert rule.counts.tolist() == [2, 1]  # a batch counts once


@pytest.mark.parametrize(("classes", "kind"), [(10, torch.int8), (127, torch.int8), (128, torch.int16)])
def test_an_instance_takes_the_narrowest_column_that_holds_each_class_and_none(classes, kind):
    assert FlexMatch(classes, 4, 0.95).columns == {LEARNED: (1, kind)}
