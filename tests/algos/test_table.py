"""Rows as they were given: devices and types, lengths, weights, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.estimator import ConstrainedKMeans
from algos.table import Table, read_table

ROWS = np.array([[3.0, 4.0], [0.0, 2.0], [6.0, 8.0]], np.float32)


def table(weights: object = None, metric: str = "cosine") -> Table:
    return read_table(ConstrainedKMeans(metric=metric), ROWS, reset=True, sample_weight=weights)


def test_directions_have_lengths_and_euclidean_rows_none():
    assert table().lengths[:, 0].tolist() == [5, 2, 10]
    assert table(metric="euclidean").lengths is None


def test_rows_that_count_one_each_have_no_weights():
    assert table().weights is table([1, 1, 1.0]).weights is None
    assert table().weight == 3
    assert table().counting().rows.tolist() == ROWS.tolist()


def test_rows_of_no_weight_are_left_out_and_the_others_count_one_in_the_mean():
    made = table(torch.tensor([1.0, 0.0, 3.0]))
    assert made.weight == 4
    counting = made.counting()
    assert counting.rows.tolist() == ROWS[[0, 2]].tolist()
    assert counting.lengths[:, 0].tolist() == [5, 10]
    assert counting.weights.tolist() == [0.5, 1.5]
    assert counting.at(torch.tensor([1])).weights.tolist() == [1.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 1], "must not be below zero"),
        ([0, 0, 0], "nor zero for every row"),
        ([1, 1], "inconsistent numbers of samples"),
        ([[1, 1, 1]], r"sample_weight has shape \(1, 3\); give one number a row"),
        ([1, np.nan, 1], "sample_weight contains NaN"),
    ],
)
def test_weights_that_cannot_be(weights, message):
    with pytest.raises(ValueError, match=message):
        table(weights)
