"""The nearest earlier row against a table of all cosines."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.curation.duplicates import nearest_earlier as module
from pipelines.curation.duplicates.nearest_earlier import nearest_earlier


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def removed(rows, threshold):
    cosines, earlier = nearest_earlier(unit(rows), threshold)
    return np.flatnonzero(cosines >= np.float32(threshold)).tolist(), earlier.tolist()


def test_of_three_equal_rows_two_are_removed():
    assert removed([[1, 2, 3]] * 3, 1 - 1e-4) == ([1, 2], [-1, 0, 0])
    assert removed([[1, 2, 3]] * 3, 1.0) == ([1, 2], [-1, 0, 0])


def test_a_removed_row_still_removes_a_later_one():
    at = np.deg2rad([0, 15, 30])  # neighbours have cosine 0.966, the ends 0.866
    chain = np.column_stack([np.cos(at), np.sin(at)])
    assert removed(chain, 0.95) == ([1, 2], [-1, 0, 1])
    assert removed(chain[[0, 2, 1]], 0.95) == ([2], [-1, 0, 0])
    assert removed(chain, 0.97) == ([], [-1, 0, 1])


def test_a_pair_at_the_very_threshold_is_one():
    assert removed([[1, 0], [3, 4]], 0.6) == ([1], [-1, 0])
    assert removed([[1, 0], [3, 4]], 0.6000001) == ([], [-1, 0])


@pytest.mark.parametrize("threshold", [0.3, 0.9])
def test_blocks_give_what_one_table_of_all_cosines_gives(monkeypatch, threshold):
    monkeypatch.setattr(module, "BLOCK", 7)
    monkeypatch.setattr(module, "TILE", 5)
    random = np.random.default_rng(0)
    rows = unit(random.normal(size=(60, 6)))
    rows[random.integers(0, 60, 20)] = rows[random.integers(0, 60, 20)]
    cosines, earlier = nearest_earlier(rows, threshold)
    exact = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    table = np.where(np.tri(60, k=-1, dtype=bool), (exact @ exact.T).astype(np.float32), -np.inf)
    assert (cosines[0], earlier[0]) == (-np.inf, -1)
    np.testing.assert_allclose(cosines[1:], table.max(axis=1)[1:], atol=1e-6)
    near = table.max(axis=1) >= threshold
    assert (cosines[near] == table.max(axis=1)[near]).all()
    assert (earlier[near] == table.argmax(axis=1)[near]).all()  # the first of equal ones
    assert near.sum() > 10
