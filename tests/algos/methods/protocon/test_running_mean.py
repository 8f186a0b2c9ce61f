"""A running mean, by hand."""

from __future__ import annotations

import pytest
import torch

from algos.methods.protocon.running_mean import RunningMean


def test_the_last_word_of_a_batch_counts_and_counts_once():
    mean = RunningMean(torch.tensor(0.0), 0.75)
    assert float(mean.with_batch(torch.tensor(8.0))) == 2.0
    assert float(mean.with_batch(torch.tensor(4.0))) == 1.0  # a later micro-batch takes the place of the first's mean
    assert float(mean.value) == 0.0
    for _ in range(2):
        mean.finish()
        assert float(mean.value) == 1.0
    assert float(mean.with_batch(torch.tensor(5.0))) == pytest.approx(2.0)
