"""Rows as they were given: devices and types, lengths, weights, and what is refused."""

from __future__ import annotations

import array

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from algos.estimator.estimator import ConstrainedKMeans
from algos.estimator.given_arrays import table_of
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


VECTORS = pa.table({"embedding": ROWS.tolist()})


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([array.array("f", row) for row in ROWS]),
        pd.Series(list(ROWS)), pa.array(ROWS.tolist()), pa.chunked_array([ROWS.tolist()]), VECTORS,
        VECTORS.to_pandas(), VECTORS.to_pandas(types_mapper=pd.ArrowDtype), VECTORS.to_pandas().to_numpy(),
    ],
)  # fmt: skip
def test_a_column_of_vectors_is_a_table(column):
    made = read_table(ConstrainedKMeans(), column, reset=True)
    assert made.rows.tolist() == ROWS.tolist()


@pytest.mark.parametrize(
    ("rows", "has"),
    [([[1.0], [1.0, 2.0]], "has 2 numbers where others have 1"), ([[1.0], None], "is no vector where others have 1")],
)
@pytest.mark.parametrize(
    "kind", [list, pd.Series, lambda rows: pd.DataFrame({"embedding": rows})], ids=["list", "column", "table"]
)
def test_vectors_of_several_lengths_are_none(kind, rows, has):
    with pytest.raises(ValueError, match=f"row 1 of X {has}; give vectors of one length"):
        read_table(ConstrainedKMeans(), kind(rows), reset=True)


@pytest.mark.parametrize("kind", [pd.DataFrame, pa.table])
def test_vectors_beside_other_columns_are_to_be_given_alone(kind):
    beside = kind({"id": [1, 2, 3], "embedding": ROWS.tolist(), "name": ["a", "b", "c"]})
    with pytest.raises(ValueError, match=r"vectors in column 'embedding' and 2 more; give the column .* alone: X\['embedding'\]"):
        read_table(ConstrainedKMeans(), beside, reset=True)


NO_NUMBERS = {
    "nested": torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)]),
    "jagged": torch.nested.nested_tensor([torch.zeros(1), torch.zeros(2)], layout=torch.jagged),
    "sparse": torch.eye(3).to_sparse(), "quantized": torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8),
    "on the meta device": torch.zeros(3, 2, device="meta"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_tensors_of_other_kinds_are_refused_wherever_they_are_given(kind):
    given, word = NO_NUMBERS[kind], kind.replace("jagged", "nested")
    with pytest.raises(TypeError, match=f"X is a .*{word}"):
        ConstrainedKMeans(2).fit(given)
    with pytest.raises(TypeError, match=f"sample_weight is a .*{word}"):
        ConstrainedKMeans(2).fit(ROWS, sample_weight=given)
    with pytest.raises(TypeError, match=f"init is a .*{word}"):
        ConstrainedKMeans(2, init=given).fit(ROWS)


def test_centers_to_start_from_may_be_a_column_of_vectors():
    fits = [ConstrainedKMeans(2, init=init, random_state=0).fit(ROWS) for init in (ROWS[:2], pd.DataFrame({"c": list(ROWS[:2])}))]
    assert fits[0].cluster_centers_.tolist() == fits[1].cluster_centers_.tolist()


def test_a_device_without_numbers_is_refused():
    with pytest.raises(ValueError, match="device meta cannot be used"):
        ConstrainedKMeans(2, device="meta").fit(ROWS)


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


def test_a_frame_of_numbers_is_left_to_scikit_learn_whatever_keeps_them():
    frame = pd.DataFrame(ROWS).convert_dtypes()
    assert table_of(frame, "X") is frame
    assert read_table(ConstrainedKMeans(), frame, reset=True).rows.tolist() == ROWS.tolist()
