"""AdaMatch's threshold, by hand."""

from __future__ import annotations

import pytest
import torch

from algos.methods.protocon.confidence.adamatch import AdaMatch
from algos.methods.protocon.confidence.rule import Evidence


def test_the_threshold_is_a_share_of_the_confidence_in_labelled_rows():
    rule = AdaMatch(0.95)
    guesses = torch.tensor([[0.75, 0.25], [0.23, 0.77]])
    trust = rule.judge(Evidence(guesses, torch.tensor(0.8)))
    assert float(trust.thresholds) == pytest.approx(0.76)
    assert trust.weights.tolist() == [0.0, 1.0]
    assert rule.judge(Evidence(guesses, torch.tensor(0.7))).weights.tolist() == [1.0, 1.0]
    assert rule.state_dict() == {}
