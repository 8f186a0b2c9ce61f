"""One threshold, by hand."""

from __future__ import annotations

import torch

from algos.methods.protocon.confidence.fixed import Fixed
from algos.methods.protocon.confidence.rule import Evidence


def test_a_row_counts_from_the_threshold_on_and_nothing_is_kept():
    rule = Fixed(0.95)
    guesses = torch.tensor([[0.94, 0.06], [0.95, 0.05], [0.04, 0.96]])
    trust = rule.judge(Evidence(guesses, torch.tensor(1.0)))
    assert trust.weights.tolist() == [0.0, 1.0, 1.0]
    assert trust.reliable.tolist() == [False, True, True]
    assert rule.state_dict() == {}
    assert rule.columns == {}
