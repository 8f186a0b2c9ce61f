"""How good clusters are, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from algos import cluster_quality
from algos.cluster_quality import closest_pairs, gini, nearest_centers, simplified_silhouette

ROOT = np.sqrt(0.5)


@pytest.mark.parametrize(("sizes", "expected"), [([4, 4, 4], 0), ([0, 0, 9], 2 / 3), ([1, 3], 0.25), ([5], 0), ([0, 0], 0)])
def test_gini_is_0_of_equal_sizes_and_grows_to_1(sizes, expected):
    assert gini(np.array(sizes)) == pytest.approx(expected)


@pytest.mark.parametrize("held", [1 << 22, 4])  # all at once, and a row at a time
def test_the_nearest_other_center_is_found_by_either_metric(monkeypatch, held):
    monkeypatch.setattr(cluster_quality, "NUMBERS_HELD", held)
    nearest, distance = nearest_centers(np.array([[1, 0], [0, 1], [ROOT, ROOT], [-1, 0]], np.float32), spherical=True)
    assert nearest.tolist() == [2, 2, 0, 1]
    np.testing.assert_allclose(distance, [1 - ROOT, 1 - ROOT, 1 - ROOT, 1], atol=1e-6)
    far = np.array([[0.0, 0], [3, 4], [0, 1]]) + 1e6  # where squares of float32 would hold no distance
    nearest, distance = nearest_centers(far, spherical=False)
    assert nearest.tolist() == [2, 2, 0]
    np.testing.assert_allclose(distance, [1, np.sqrt(18), 1], rtol=1e-9)


def test_one_center_has_no_nearest_other():
    nearest, distance = nearest_centers(np.array([[1.0, 0]]), spherical=True)
    assert nearest.tolist() == [-1]
    assert np.isnan(distance).all()
    assert closest_pairs(nearest, distance, 5) == []


def test_each_pair_is_listed_once_the_closest_first():
    nearest, distance = np.array([2, 2, 0, 1]), np.array([0.1, 0.3, 0.1, 0.2])
    assert closest_pairs(nearest, distance, 5) == [(0, 2), (1, 3), (1, 2)]
    assert closest_pairs(nearest, distance, 1) == [(0, 2)]


@pytest.mark.parametrize("held", [1 << 22, 2])
def test_the_simplified_silhouette_compares_the_own_center_with_the_nearest_other(monkeypatch, held):
    monkeypatch.setattr(cluster_quality, "NUMBERS_HELD", held)
    centers = np.array([[0.0, 0], [4, 0]])
    rows, labels = np.array([[1.0, 0], [1, 0], [4, 0], [2, 0]]), np.array([0, 1, 1, 0])
    found = simplified_silhouette(rows, labels, centers, spherical=False)
    np.testing.assert_allclose(found, [2 / 3, -2 / 3, 1, 0])
    twice = np.array([[1.0, 0], [1, 0]])
    assert simplified_silhouette(twice[:1], np.array([0]), twice, spherical=True).tolist() == [0]
    angles = simplified_silhouette(np.array([[1.0, 0]]), np.array([1]), np.array([[0.6, 0.8], [0, 1]]), spherical=True)
    np.testing.assert_allclose(angles, [(0.4 - 1) / 1])
