"""Rows as they were given: devices and types, lengths, weights, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from algos.estimator.estimator import ConstrainedKMeans
from algos.estimator.input_rows import Table, read_table

ROWS = np.array([[3.0, 4.0], [0.0, 2.0], [6.0, 8.0]], np.float32)


def table(weights: object = None, metric: str = "cosine") -> Table:
    return read_table(ConstrainedKMeans(metric=metric), ROWS, reset=True, sample_weight=weights)


def test_directions_have_lengths_and_euclidean_rows_none():
    assert table().lengths[:, 0].tolist() == [5, 2, 10]
    assert table(metric="euclidean").lengths is None


def test_rows_that_count_one_each_have_no_weights():
    assert table().weights is table([1, 1, 1.0]).weights is None
    counting, mean = table().counting()
    assert (counting.rows.tolist(), mean) == (ROWS.tolist(), 1)


@pytest.mark.parametrize(
    "half",
    [
        ROWS.astype(np.float16), torch.from_numpy(ROWS).half(), torch.from_numpy(ROWS).bfloat16(),
        torch.from_numpy(ROWS).to(torch.float8_e5m2),
    ],
)  # fmt: skip
def test_half_precision_becomes_float32(half):
    made = read_table(ConstrainedKMeans(), half, reset=True)
    assert made.rows.dtype == torch.float32
    assert made.rows.tolist() == ROWS.tolist()


@pytest.mark.parametrize("column", [pd.Series(list(ROWS)), pa.array(ROWS.tolist()), pa.chunked_array([ROWS.tolist()])])
def test_a_column_of_vectors_is_a_table(column):
    made = read_table(ConstrainedKMeans(), column, reset=True)
    assert made.rows.tolist() == ROWS.tolist()


def test_vectors_of_several_lengths_are_none():
    with pytest.raises(ValueError, match="must have the same shape"):
        read_table(ConstrainedKMeans(), pd.Series([[1.0], [1.0, 2.0]]), reset=True)


def test_a_masked_number_is_missing():
    masked = np.ma.array(ROWS, mask=ROWS > 7)
    with pytest.raises(ValueError, match="X has masked numbers; fill them in, or remove their rows"):
        read_table(ConstrainedKMeans(), masked, reset=True)
    assert read_table(ConstrainedKMeans(), np.ma.array(ROWS), reset=True).rows.tolist() == ROWS.tolist()


def test_a_masked_weight_is_none():
    with pytest.raises(ValueError, match="sample_weight has masked numbers; give 0 for rows that do not count"):
        table(np.ma.array([1.0, 2.0, 3.0], mask=[False, True, False]))


def test_a_row_without_a_weight_weighs_one():
    assert table().weight == 3
    made = table([1.0, 0.5, 3.0])
    assert made.weight == 4.5
    assert made.without(torch.tensor([2])).weight == 1.5


def test_rows_of_no_weight_are_left_out_and_the_others_count_one_in_the_mean():
    made = table(torch.tensor([1.0, 0.0, 3.0]))
    counting, mean = made.counting()
    assert mean == 2
    assert counting.rows.tolist() == ROWS[[0, 2]].tolist()
    assert counting.lengths[:, 0].tolist() == [5, 10]
    assert counting.weights.tolist() == [0.5, 1.5]
    assert counting.at(torch.tensor([1])).weights.tolist() == [1.5]


VANISHING = torch.tensor([3, 3, 1e-9], dtype=torch.float64)  # so light a row is none


@pytest.mark.parametrize(("weights", "rows"), [([3, 3, 3], 3), (VANISHING, 2), (torch.full((3,), 3, dtype=torch.bfloat16), 3)])
def test_rows_that_count_alike_need_no_weights(weights, rows):
    counting, mean = table(weights).counting()
    assert (counting.weights, mean, len(counting)) == (None, 3, rows)


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


def test_one_number_is_the_weight_of_every_row():
    assert table(2.5).weights.tolist() == [2.5] * 3
    assert table(np.float32(2)).counting()[1] == 2
    assert table(1).weights is None
    with pytest.raises(ValueError, match="must not be below zero"):
        table(-1)
