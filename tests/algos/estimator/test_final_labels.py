"""The labels that a fit ends with: by hand, with weights, with prices, and within both bounds; and distances to centers."""

from __future__ import annotations

import math

import numpy as np
import torch

from algos.estimator.final_labels import bounded_labels, center_distances, nearest_labels
from algos.estimator.geometry import Geometry
from algos.estimator.input_rows import Table

AS_IT_IS = Geometry(spherical=False, origin=torch.zeros(1, dtype=torch.float64), scale=1.0)
ROWS, CENTERS = (
    torch.tensor([[0.0], [1.0], [2.0], [9.0]], dtype=torch.float64),
    torch.tensor([[0.0], [10.0]], dtype=torch.float64),
)
NO_PRICES = torch.zeros(2, dtype=torch.float64)


def test_the_objective_is_minus_half_the_squared_distances_by_weight():
    labels, objective = nearest_labels(Table(ROWS), CENTERS, NO_PRICES, AS_IT_IS)
    assert labels.tolist() == [0, 0, 0, 1]
    assert objective == -(0 + 1 + 4 + 1) / 2
    weights = torch.tensor([1.0, 1.0, 3.0, 1.0], dtype=torch.float64)
    assert nearest_labels(Table(ROWS, weights=weights), CENTERS, NO_PRICES, AS_IT_IS)[1] == -(0 + 1 + 12 + 1) / 2


def test_a_price_moves_a_border_and_is_no_part_of_the_objective():
    prices = torch.tensor([0.0, 31.0], dtype=torch.float64)  # the row at 2 loses (64 - 4) / 2 = 30
    labels, objective = nearest_labels(Table(ROWS), CENTERS, prices, AS_IT_IS)
    assert labels.tolist() == [0, 0, 1, 1]
    assert objective == -(0 + 1 + 64 + 1) / 2


def test_bounds_move_the_rows_that_lose_least():
    for bounds in ((2, math.inf), (0, 2)):
        found = bounded_labels(ROWS, CENTERS, NO_PRICES, AS_IT_IS, *bounds, 1.0)
        assert found.labels.tolist() == [0, 0, 1, 1]
        assert found.objective == -33
        assert (found.cost, found.gap) == (30, 0)
    twice = bounded_labels(ROWS, CENTERS, NO_PRICES, AS_IT_IS, 4, math.inf, 2.0)  # each row counts for two
    assert (twice.labels.tolist(), twice.objective, twice.cost) == ([0, 0, 1, 1], -66, 60)


def test_distances_are_in_the_datas_units_and_of_directions_one_less_cosine():
    moved = Geometry(spherical=False, origin=torch.tensor([1.0]), scale=2.0)
    assert center_distances(torch.tensor([[1.0], [5.0]]), torch.tensor([[0.0], [1.0]]), moved).tolist() == [[0, 2], [4, 2]]
    turned = Geometry(spherical=True, origin=torch.zeros(2), scale=1.0)
    assert center_distances(torch.tensor([[0.0, 7.0]]), torch.eye(2), turned).tolist() == [[1, 0]]


def test_a_row_at_its_center_has_no_distance_to_it_however_many_there_are():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)) + 30
    made = Geometry(spherical=False, origin=torch.zeros(8), scale=1.0)
    assert center_distances(rows, rows, made).diagonal().tolist() == [0] * 60
