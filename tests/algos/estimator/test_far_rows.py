"""Rows that lie far: which are left out, which only give no scale, and that data without any have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.estimator.far_rows import far_rows


def lump(rows: int = 400, dim: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, dim))


def found(rows: np.ndarray, least: float, weights: np.ndarray | None = None) -> tuple[list[int], list[int]]:
    far = far_rows(torch.from_numpy(rows), None if weights is None else torch.from_numpy(weights), least)
    return far.left_out.tolist(), far.without_scale.tolist()


@pytest.mark.parametrize("value", [60.0, 999.0, -1e6, 1e100])
def test_few_far_rows_are_left_out_wherever_they_lie(value):
    rows = lump()
    rows[[3, 77]] = [[value], [-2 * value]]
    assert found(rows, 32) == ([3, 77], [3, 77])


def test_as_many_as_a_cluster_are_one_but_give_no_scale():
    rows = lump()
    rows[:40] += 500
    assert found(rows, 32) == ([], list(range(40)))
    rows[399] = 1e6
    assert found(rows, 32) == ([399], [*range(40), 399])


def test_more_than_a_twentieth_are_not_left_out():
    rows = lump()
    rows[:21] += 500
    assert found(rows, 80)[0] == []
    assert found(rows[1:], 80)[0] == []
    assert found(rows[2:], 80)[0] == list(range(19))


def test_rows_that_a_price_can_bring_company_keep_the_scale_as_it_is():
    rows = lump()
    rows[:40] += 20
    assert found(rows, 80) == ([], [])  # of two clusters: with 40 of the others their center is half as far


@pytest.mark.parametrize(
    "rows",
    [
        lump(20_000, 1),
        np.random.default_rng(1).exponential(size=(200_000, 1)),
        np.random.default_rng(1).uniform(size=(5000, 3)),
        np.repeat(lump(20, 3), 20, axis=0),
        np.vstack([np.zeros((380, 3)), lump(20, 3)]),
        np.full((50, 2), 0.1),
        np.ones((1, 3)),
    ],
    ids=["normal", "exponential", "uniform", "copies", "mostly zeros", "constant", "one row"],
)
def test_data_without_outliers_have_none(rows):
    assert found(rows, 0.08 * len(rows)) == ([], [])


def test_weights_count():
    rows, weights = lump(), np.ones(400)
    rows[:3] = 999
    weights[:3] = 15
    assert found(rows, 50 * 1.1, weights / weights.mean())[0] == []  # a ninth of all weight
    weights[:3] = 0.5
    assert found(rows, 32, weights / weights.mean())[0] == [0, 1, 2]
