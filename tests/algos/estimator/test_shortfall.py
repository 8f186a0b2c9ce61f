"""What is said of clusters below their minimum: the numbers, and what to do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from algos.estimator.geometry import Geometry
from algos.estimator.shortfall import distinct_rows, warn_of_equal_centers, warn_of_far_rows, warn_of_missed_bounds


def test_the_smallest_the_minimum_and_the_remedy_are_said():
    with pytest.warns(ConvergenceWarning, match="smallest cluster has 3 and the minimum is 8, which 2 of 4 miss; do so"):
        warn_of_missed_bounds(np.array([3, 9, 7, 8]), 8, np.inf, lambda: 27, advice="do so")
    with pytest.warns(
        ConvergenceWarning, match=r"which 1 of 2 miss; X has 1 distinct row for n_clusters=2: choose fewer, or exact"
    ):
        warn_of_missed_bounds(np.array([9, 0]), 4, np.inf, lambda: 1, advice="do so")
    with pytest.warns(ConvergenceWarning, match=r"X has 2 distinct rows for n_clusters=3, so 1 are empty; choose fewer"):
        warn_of_missed_bounds(np.array([9, 1, 0]), 0, np.inf, lambda: 2, advice="do so")


def test_nothing_is_said_of_kept_minimums_rounding_and_few_rows():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_missed_bounds(np.array([8, 9]), 8, np.inf, None, advice="")
        warn_of_missed_bounds(np.array([2.1 - 1e-12, 9]), 2.1, np.inf, None, advice="")
        warn_of_missed_bounds(np.array([0, 9]), 0, np.inf, lambda: 5, advice="")
        warn_of_far_rows(np.empty(0, np.int64), 9)
        warn_of_equal_centers(torch.eye(3))


def test_rows_and_centers_are_named():
    with pytest.warns(UserWarning, match=r"4 of 90 rows \(5, 6, 7, \.\.\.\) lie far"):
        warn_of_far_rows(np.arange(5, 9), 90)
    with pytest.warns(ConvergenceWarning, match="gave 1 distinct centers for n_clusters=3"):
        warn_of_equal_centers(torch.ones(3, 2))


def test_rows_are_told_apart_by_direction_or_by_place():
    rows = torch.tensor([[1.0, 2.0], [3.0, 6.0], [0.1, 0.2], [1.0, 2.0], [2.0, 1.0]])
    assert distinct_rows(rows.double(), Geometry.of(rows.double(), spherical=True)) == 2
    assert distinct_rows(rows, Geometry.of(rows, spherical=False)) == 4
