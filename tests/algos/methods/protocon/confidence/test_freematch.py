"""FreeMatch's thresholds, by hand."""

from __future__ import annotations

import torch

from algos.methods.protocon.confidence.freematch import FreeMatch
from algos.methods.protocon.confidence.rule import Evidence


def judge(rule, *rows, close=True):
    trust = rule.judge(Evidence(torch.tensor(rows), torch.tensor(1.0)))
    if close:
        rule.finish_update()
    return trust


def test_both_means_hold_the_batch_that_they_judge():
    rule = FreeMatch(2, 0.5)
    trust = judge(rule, [0.9, 0.1], [0.4, 0.6])  # t = (0.5 + 0.75) / 2, p = (0.575, 0.425)
    torch.testing.assert_close(trust.thresholds, torch.tensor([0.625, 0.625 * 0.425 / 0.575]))
    assert trust.weights.tolist() == [1.0, 1.0]
    trust = judge(rule, [0.62, 0.38], [0.55, 0.45])  # t = (0.625 + 0.585) / 2, p = (0.58, 0.42)
    torch.testing.assert_close(trust.thresholds, torch.tensor([0.605, 0.605]))
    assert trust.weights.tolist() == [1.0, 0.0]
    torch.testing.assert_close(rule.classes.value, torch.tensor([0.58, 0.42]))


def test_without_memory_the_threshold_is_the_batch_mean_and_even_guesses_move_nothing():
    assert float(judge(FreeMatch(2, 0.0), [0.9, 0.1], [0.7, 0.3]).thresholds[0]) == torch.tensor([0.9, 0.7]).mean()
    rule = FreeMatch(4, 0.999)
    judge(rule, [0.25] * 4)
    torch.testing.assert_close(rule.confidence.value, torch.tensor(0.25))
    torch.testing.assert_close(rule.classes.value, torch.full((4,), 0.25))


def test_micro_batches_end_where_the_whole_batch_does():
    whole, parts = FreeMatch(2, 0.5), FreeMatch(2, 0.5)
    judge(whole, [0.9, 0.1], [0.4, 0.6], [0.3, 0.7])
    judge(parts, [0.9, 0.1], close=False)
    judge(parts, [0.4, 0.6], [0.3, 0.7])
    torch.testing.assert_close(parts.confidence.value, whole.confidence.value)
    torch.testing.assert_close(parts.classes.value, whole.classes.value)


def test_the_likeliest_class_has_the_mean_itself_as_its_threshold():
    rows = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    for row in (rows / rows.sum(dim=1, keepdim=True)).tolist():  # each is the mean of its batch, which it reaches
        assert judge(FreeMatch(3, 0.0), row).weights.tolist() == [1.0]
