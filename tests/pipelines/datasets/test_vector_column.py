"""What rows become before they are clustered: directions, or rows around an origin at a scale."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pipelines.datasets.vector_column import FARTHEST, RowForm
from pipelines.errors import UserError

AROUND = RowForm("euclidean", (1.0, 2.0), 2.0)


def lists(rows: list[list[float | None] | None], kind: pa.DataType | None = None) -> pa.Array:
    return pa.array(rows, pa.list_(kind or pa.float32()))


def test_the_form_of_rows_is_their_mean_and_root_mean_square_around_it():
    form = RowForm.around(np.array([[0.0, 1.0], [6.0, 1.0], [0.0, 9.0], [6.0, 9.0]], np.float32))
    assert form == RowForm("euclidean", (3.0, 5.0), 5.0)
    assert form.unit == 25
    assert form.rows(lists([[6.0, 9.0], [0.0, 0.0]]), 2) == pytest.approx(np.array([[0.6, 0.8], [-0.6, -1.0]]))
    assert RowForm.around(np.full((3, 2), 7.0)).scale == 1  # copies of one row


def test_zeros_are_a_row_and_what_is_no_vector_is_nan():
    rows = AROUND.rows(lists([[0, 0], [1, float("nan")], [1, float("inf")], None, [1], [3, 4]]), 2)
    assert rows[[0, 5]].tolist() == [[-0.5, -1], [1, 1]]
    assert np.isnan(rows[1:5]).all()
    assert "has no distance to others: its 'v' is null, not 2 numbers long, or holds NaN, infinity" in AROUND.refusal("v", 2)
    assert "has no direction: its 'v' is null, all zeros" in RowForm().refusal("v", 2)


def test_a_row_too_far_out_for_float32_is_refused():
    rows = AROUND.rows(lists([[1.9 * FARTHEST, 0], [2.1 * FARTHEST, 0], [-3e38, 0]]), 2)
    assert np.isnan(rows).any(axis=1).tolist() == [False, True, True]


@pytest.mark.parametrize(("kind", "offset"), [(pa.float32(), 1e4), (pa.float64(), 1e9)])
def test_rows_far_from_zero_keep_all_that_is_stored_of_them(kind, offset):
    random = np.random.default_rng(0)
    stored = lists((offset + random.normal(size=(500, 3))).tolist(), kind)
    exact = stored.flatten().to_numpy().astype(np.float64).reshape(-1, 3)
    form = RowForm.around(exact)
    expected = (exact - np.array(form.origin)) / form.scale
    np.testing.assert_allclose(form.rows(stored, 3), expected, rtol=2e-7, atol=1e-12)
    np.testing.assert_allclose(form.restore(form.rows(stored, 3)), exact, atol=1e-6)


@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (1e4, 3.0), (-1e9, 1e-3)])
def test_centers_that_are_stored_in_units_of_the_data_come_back_bit_by_bit(offset, scale):
    centers = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    form = RowForm("euclidean", tuple([offset] * 8), scale)
    back = form.take(form.restore(centers))
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, centers, rtol=1e-7, atol=abs(offset) / scale * 1e-15)
    assert RowForm().restore(centers) is centers is RowForm().take(centers)


@pytest.mark.parametrize("size", [1e-300, 1e-20, 1e20, 1e300])
def test_rows_whose_squared_distances_float32_does_not_hold_are_refused(size):
    with pytest.raises(UserError, match="bring them to about 1"):
        RowForm.around(np.array([[size, 0.0], [0.0, size]]))


@pytest.mark.parametrize("rows", range(1, 12))
@pytest.mark.parametrize("value", [0.1, 1e-300, 1e8 / 3])
def test_rows_that_are_all_one_have_a_form(rows, value):
    assert RowForm.around(np.full((rows, 3), value)).scale == 1


def test_integers_and_half_precision_are_numbers():
    for kind in (pa.int8(), pa.uint16(), pa.float16()):
        rows = lists([[np.float16(3), np.float16(4)]], kind) if kind == pa.float16() else lists([[3, 4]], kind)
        assert AROUND.rows(rows, 2).tolist() == [[1, 1]]
