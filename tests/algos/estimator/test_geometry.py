"""Directions, and shifted and scaled rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from algos.estimator import geometry
from algos.estimator.geometry import Geometry, initial_centers, row_lengths, similarities_of, undirected_row
from algos.kmeans.step_arithmetic import priced_similarities

ROWS = torch.tensor([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])


def test_euclidean_rows_have_mean_zero_and_mean_square_one():
    made = Geometry.of(ROWS, spherical=False)
    assert made.origin.tolist() == [2, 2]
    assert made.scale == pytest.approx(8**0.5)
    prepared = made.prepare(ROWS)
    assert prepared.square().sum(dim=1).mean().item() == pytest.approx(1)
    torch.testing.assert_close(made.restore(prepared), ROWS)
    assert made.half_squares(prepared).tolist() == pytest.approx([0.5] * 4)


def test_weights_count_in_mean_and_scale():
    rows, weights = torch.tensor([[0.0, 0.0], [4.0, 0.0], [900.0, 9.0]]), torch.tensor([1.0, 3.0, 0.0], dtype=torch.float64)
    made = Geometry.of(rows, weights, spherical=False)
    assert made.origin.tolist() == [3, 0]
    assert made.scale == pytest.approx(3**0.5)


def test_equal_rows_keep_their_scale():
    made = Geometry.of(torch.ones(3, 2), spherical=False)
    assert made.scale == 1
    assert made.prepare(torch.ones(3, 2)).tolist() == [[0, 0]] * 3


@pytest.mark.parametrize("length", [1e-30, 1.0, 1e30])
def test_directions_survive_lengths_whose_squares_do_not_fit_float32(length):
    prepared = Geometry.of(ROWS, spherical=True).prepare(torch.tensor([[3.0, 4.0]]) * length)
    torch.testing.assert_close(prepared, torch.tensor([[0.6, 0.8]]))


def test_similarity_and_half_squares_make_the_squared_distance():
    made = Geometry.of(ROWS, spherical=False)
    prepared, centers = made.prepare(ROWS), torch.tensor([[0.5, -0.5]])
    similarity = priced_similarities(prepared, centers, torch.zeros(1), spherical=False)[:, 0].double()
    distances = (prepared - centers).square().sum(dim=1).double()
    torch.testing.assert_close(made.half_squares(prepared) - similarity, distances / 2)


def test_a_row_without_a_direction_is_found_in_any_piece(monkeypatch):
    monkeypatch.setattr(geometry, "NUMBERS_HELD", 4)  # two rows
    for rows, first in [
        ([[1.0, 1.0]] * 5, None),
        ([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.0], [0.0, 0.0]], 3),
        ([[3e38, 1e37], [3e38, 3e38]], 1),  # 4.2e38 is no float32
        ([[1e-37, 0.0], [1e-45, 1e-45]], 1),
    ]:
        assert undirected_row(row_lengths(torch.tensor(rows))) == first


def test_lengths_are_found_in_pieces(monkeypatch):
    monkeypatch.setattr(geometry, "NUMBERS_HELD", 4)
    rows = torch.tensor([[3.0, 4.0], [0.0, 2.0], [6.0, 8.0]])
    directions, lengths = Geometry.of(rows, spherical=True), row_lengths(rows)
    torch.testing.assert_close(lengths, torch.tensor([[5.0], [2.0], [10.0]]))
    torch.testing.assert_close(directions.prepare(rows, lengths), F.normalize(rows, dim=1))
    assert directions.prepare(rows, torch.ones(3, 1)).tolist() == rows.tolist()


@pytest.mark.parametrize("spherical", [True, False])
def test_similarities_of_are_those_of_the_core_in_float64(spherical):
    rows = torch.randn(20, 3, generator=torch.Generator().manual_seed(1))
    made = Geometry.of(rows, spherical=spherical)
    centers = made.prepare(rows[:4])
    index, clusters = torch.tensor([7, 3]), torch.tensor([2, 0, 1])
    found = similarities_of(rows, centers, made)(index, clusters)
    expected = priced_similarities(made.prepare(rows), centers, torch.zeros(4), spherical=spherical)[index][:, clusters]
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected.double(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("init", ["random", "k-means++"])
def test_first_centers_are_distinct_rows(init):
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(2))
    made = Geometry.of(rows, spherical=False)
    centers = initial_centers(init, 5, rows, made, np.random.RandomState(0))
    distances = torch.cdist(made.restore(centers).double(), rows.double())
    assert len(set(distances.argmin(dim=1).tolist())) == 5
    assert distances.min(dim=1).values.max() < 1e-5


@pytest.mark.parametrize(("init", "num_clusters"), [("random", 10), ("k-means++", 1)])  # each draws ten rows
def test_heavy_rows_are_drawn_first(init, num_clusters):
    rows, weights = torch.arange(200.0)[:, None], torch.full((200,), 1e-9)
    weights[::20] = 1.0
    made, random = Geometry.of(rows, spherical=False), np.random.RandomState(0)  # of all rows, to tell which were drawn
    centers = initial_centers(init, num_clusters, rows, made, random, weights)
    drawn = made.restore(centers)[:, 0].round().int().tolist()
    assert len(set(drawn)) == num_clusters
    assert set(drawn) <= set(range(0, 200, 20))


def test_given_centers_are_checked():
    made, random = Geometry.of(ROWS, spherical=True), np.random.RandomState(0)
    torch.testing.assert_close(initial_centers([[3, 4], [0, 2]], 2, ROWS, made, random), torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
    with pytest.raises(ValueError, match=r"init has shape \(1, 2\); \(2, 2\) is needed"):
        initial_centers([[3, 4]], 2, ROWS, made, random)
    with pytest.raises(ValueError, match="row 1 of init has no direction: it is all zeros, or too short"):
        initial_centers([[3, 4], [0, 0]], 2, ROWS, made, random)


def test_float32_rows_whose_sum_overflows_have_a_mean():
    rows = torch.tensor([[3e38, 0.0], [1e38, 0.0]] * 50)
    made = Geometry.of(rows, spherical=False)
    torch.testing.assert_close(made.origin, torch.tensor([2e38, 0.0]))
    assert made.scale == pytest.approx(1e38)


@pytest.mark.parametrize(("factor", "how"), [(1e-200, "multiply"), (1e200, "divide")])
def test_rows_whose_squares_do_not_fit_are_refused(factor, how):
    with pytest.raises(ValueError, match=f"whose square float64 does not hold; {how} it"):
        Geometry.of(ROWS.double() * factor, spherical=False)


def test_rows_too_far_for_float32_are_compared_in_float64():
    made = Geometry.of(ROWS, spherical=False)
    assert made.to_compare(ROWS, torch.float32).dtype == torch.float32
    assert made.to_compare(torch.tensor([[1e30, 0.0]]), torch.float32).dtype == torch.float64
