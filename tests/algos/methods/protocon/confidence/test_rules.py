"""Every rule that a configuration may name is there, and answers within bounds."""

from __future__ import annotations

from typing import get_args

import pytest
import torch

from algos.methods.protocon.confidence.rule import Evidence
from algos.methods.protocon.confidence.rules import confidence_rule
from algos.methods.protocon.config import Confidence, ProtoConConfig


@pytest.mark.parametrize("name", get_args(Confidence))
def test_each_name_has_a_rule_of_that_name_whose_weights_lie_between_0_and_1(name):
    rule = confidence_rule(ProtoConConfig(confidence=name, confidence_threshold=0.5), 3, 20)
    assert type(rule).__name__.lower() == name
    guesses = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    nothing = {column: torch.zeros(1, 20, dtype=torch.int64) for column in rule.columns}
    for _ in range(3):
        trust = rule.judge(Evidence(guesses, torch.tensor(0.9), nothing))
        rule.begin_update()
        rule.finish_update()
        assert trust.weights.shape == (20,)
        assert trust.weights.dtype == torch.float32
        assert 0 <= float(trust.weights.min()) <= float(trust.weights.max()) <= 1
        assert trust.remembered.keys() == rule.columns.keys()


def test_a_threshold_and_a_momentum_reach_the_rules_that_have_them():
    for name in ("fixed", "flexmatch", "adamatch"):
        assert confidence_rule(ProtoConConfig(confidence=name, confidence_threshold=0.7), 3, 20).threshold == 0.7
    for name in ("freematch", "softmatch"):
        rule = confidence_rule(ProtoConConfig(confidence=name, mean_momentum=0.9), 3, 20)
        assert {mean.momentum for mean in rule.children()} == {0.9}
