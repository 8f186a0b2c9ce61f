"""Search spaces: what parses, which points they have, and what the papers' symbols set."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import UserError
from tune.points import identity
from tune.search.space import Axis, Space, overrides


def space(**axes) -> Space:
    return Space.parse(axes, "pretrain")


def test_a_grid_has_every_combination_in_order():
    points = space(ratio={"grid": [0.4, 1.0]}, K={"grid": [10, [10, 20]]}).grid()
    assert points == [
        {"ratio": 0.4, "K": 10},
        {"ratio": 0.4, "K": [10, 20]},
        {"ratio": 1.0, "K": 10},
        {"ratio": 1.0, "K": [10, 20]},
    ]


def test_random_points_repeat_by_their_seed_and_stay_in_bounds():
    axes = {"optimizer.lr": {"loguniform": [0.001, 1.0]}, "alpha": {"uniform": [0.2, 0.8]}, "n": {"integers": [50, 52]}}
    mixed = space(**axes)
    points = mixed.sample(200, seed=4)
    assert points == mixed.sample(200, seed=4)
    assert points != mixed.sample(200, seed=5)
    rates = [point["optimizer.lr"] for point in points]
    assert min(rates) >= 0.001
    assert max(rates) <= 1.0
    assert 60 < sum(rate < 0.0316 for rate in rates) < 140  # half of the decades
    assert {point["n"] for point in points} == {50, 51, 52}
    assert all(0.2 <= point["alpha"] <= 0.8 for point in points)


def test_grid_axes_take_turns_in_a_random_space():
    points = space(**{"ratio": {"grid": [0.4, 0.8]}, "optimizer.lr": {"uniform": [0.0, 1.0]}}).sample(10, seed=0)
    assert [point["ratio"] for point in points] == [0.4, 0.8] * 5


def test_a_space_gives_as_many_points_as_are_asked_for_where_it_has_them():
    small = space(K={"choice": [3, 5]}, ratio={"grid": [0.4, 0.8]}, epochs={"integers": [1, 3]})
    assert len({identity(point) for point in small.sample(12, seed=0)}) == 12
    assert small.sample(12, seed=0)[:5] == small.sample(5, seed=0)  # of a sweep that asks for more later


def test_points_that_come_twice_are_one():
    assert len(space(K={"choice": [3, 5]}).sample(50, seed=0)) == 2


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        ({}, "space is empty"),
        ({"K": [3, 5]}, "space.K is"),
        ({"K": {"grit": [3]}}, "unknown kind 'grit'; nearest valid name: grid"),
        ({"K": {"grid": []}}, "give a list of values"),
        ({"K": {"uniform": [1]}}, "give two bounds"),
        ({"K": {"uniform": [2, 1]}}, "the smaller one first"),
        ({"K": {"loguniform": [0, 1]}}, "bounds above 0"),
        ({"K": {"integers": [0.5, 3]}}, "must be integers"),
        ({"K": {"integers": [2, 10**30]}}, "give bounds of at most 1e\\+18"),
        ({"ratio": {"uniform": [0.1, math.inf]}}, "give bounds of at most 1e\\+18"),
        ({"ratio": {"uniform": [math.nan, 0.1]}}, "the smaller one first"),
        ({"method": {"dim": {"grid": [8]}}}, "space.method is a section; write its keys with dots, as method.dim"),
        ({"K": {"grid": [3]}, "n": {"grid": [3]}}, "both 'K' and 'n'"),
        ({"ratio": {"grid": [1]}, "gamma": {"grid": [3]}}, "both 'ratio' and 'gamma'"),
        ({"ratio": {"grid": [1]}, "method.min_size_ratio": {"grid": [1]}}, "both 'ratio' and 'method.min_size_ratio'"),
        ({"alpha": {"grid": [1]}, "method.label_weight": {"grid": [1]}}, "both 'alpha' and 'method.label_weight'"),
        ({"K": {"grid": [[2, 3], [2.0, 3]]}}, "names a value twice"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(axes, said):
    with pytest.raises(UserError, match=said):
        space(**axes)


def test_a_grid_over_an_interval_has_no_end():
    with pytest.raises(UserError, match=r"space\.K is uniform, which has no end"):
        space(K={"uniform": [1, 2]}).grid()


def settings(point, kind="pretrain", instances=1000, clusters=(40, 60)):
    return overrides(point, kind=kind, instances=instances, clusters=clusters)


def test_the_papers_symbols_set_the_recipes_keys():
    assert settings({"K": 50}) == {"method.num_clusters": [50]}
    assert settings({"K": [30, 50]}) == {"method.num_clusters": [30, 50]}
    assert settings({"n": 300}) == {"method.num_clusters": [3]}
    assert settings({"ratio": 0.4}) == {"method.min_size_ratio": 0.4}
    assert settings({"K": 50, "gamma": 8}) == {"method.num_clusters": [50], "method.min_size_ratio": 0.4}
    assert settings({"n": 100, "gamma": 90}) == {"method.num_clusters": [10], "method.min_size_ratio": pytest.approx(0.9)}
    assert settings({"gamma": 5}, clusters=(100,)) == {"method.min_size_ratio": 0.5}
    assert settings({"alpha": 0.2}) == {"method.label_weight": 0.2}
    assert settings({"alpha": 0.2}, kind="semisup") == {"method.refine_weight": 0.2}
    assert settings({"optimizer.lr": 0.1}) == {"optimizer.lr": 0.1}


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ({"n": 501}, "n = 501 of 1000 training images makes fewer than 2 clusters"),
        ({"n": 0}, "n = 0"),
        ({"gamma": 3}, r"heads of one size, this point has \[40, 60\]"),
        ({"n": "20"}, "n is '20'; give a number"),
        ({"n": None}, "n is None; give a number"),
        ({"n": True}, "n is True; give a number"),
        ({"gamma": 5, "K": ["20"]}, r"K is \['20'\]; give a number, or a list of them"),
        ({"K": 50, "gamma": 21}, "asks for 1050 of 1000 training images"),
    ],
)
def test_couplings_that_give_no_value_are_refused(point, said):
    with pytest.raises(UserError, match=said):
        settings(point)


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 5), max_size=3))
def test_the_identity_of_a_point_does_not_depend_on_the_order_of_its_keys(point):
    assert identity(point) == identity(dict(reversed(point.items())))


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=2, unique=True).map(sorted), st.integers(0, 9))
def test_integers_are_drawn_from_both_ends(bounds, seed):
    drawn = {Axis.parse("K", {"integers": bounds}).draw(np.random.default_rng((seed, i))) for i in range(20)}
    assert all(bounds[0] <= value <= bounds[1] for value in drawn)
