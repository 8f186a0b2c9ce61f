"""A search over a key that does nothing compares luck, and is refused."""

from __future__ import annotations

import pytest

from pipelines.errors import UserError
from tests.helpers.runs.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig


@pytest.fixture
def plan(some_digits, tmp_path):
    def make(space, settings=None, **parts) -> Plan:
        settings = {"data": str(some_digits.location), "epochs": 4, **(settings or {})}
        return Plan.of(config(str(some_digits.location), tmp_path, space=space, settings=settings, **parts))

    return make


WARMUPS = {"optimizer.warmup_epochs": {"grid": [6, 8]}}


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ({"method.slots": {"grid": [3, 5]}}, r"space searches method\.slots, but .* while method\.average_from is null"),
        ({"method.large_weight": {"grid": [0.3, 0.5]}, "ratio": {"grid": [0.4, 0.8]}}, r"method\.large_weight"),
        (WARMUPS, r"space searches optimizer\.warmup_epochs, but .* it ends before"),
    ],
)
def test_a_searched_key_that_does_nothing_at_any_point_is_refused(plan, space, said):
    with pytest.raises(UserError, match=said):
        plan(space)


def test_one_that_does_nothing_at_some_points_is_told(plan, capsys):
    plan({"method.predictor_weight": {"grid": [0.0, 0.5]}, "method.predictor_hidden": {"grid": [64, 128]}})
    told = (
        "space: 2 of 4 points differ by chance alone: method.predictor_hidden does nothing while method.predictor_weight is 0.0"
    )
    assert told in capsys.readouterr().err
    plan({"ratio": {"grid": [0.4, 0.8]}})
    assert "chance" not in capsys.readouterr().err


def test_of_a_searcher_what_no_searched_key_can_wake_is_refused(plan):
    free = {"searcher": "optuna", "budget": BudgetConfig(trials=3)}
    slots = {"method.slot_temperature": {"uniform": [0.1, 1.0]}}
    with pytest.raises(UserError, match=r"space searches method\.slot_temperature"):
        plan(slots, **free)
    one_view = {"views.large": [{"size": 8}], "method.label_weight": 1.0}
    plan(slots | {"method.average_from": {"integers": [1, 2]}}, one_view, **free)


def test_settings_that_do_nothing_and_stages_that_come_too_late_are_told(plan, capsys):
    plan({"ratio": {"grid": [0.4, 0.8]}}, {"method.slots": 9, "optimizer.warmup_epochs": 4})
    told = capsys.readouterr().err
    assert "method.slots does nothing" in told
    assert "optimizer.warmup_epochs is 4, and the run has 4 epochs" in told


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"space": {"n": {"grid": [80, 90]}}}, '{"n": 80} and {"n": 90} are one and the same run, which is trained 2 times'),
        ({"settings": {"method.min_size_ratio": 0.2}}, "settings.method.min_size_ratio does nothing, for space.ratio sets it"),
        ({"budget": BudgetConfig(trials=5)}, "budget.trials is 5, but the space has 2 points"),
        ({"budget": BudgetConfig(trials=1)}, "budget.trials is 1: the last 1 of the grid's 2 points are left out"),
    ],
)
def test_what_is_trained_twice_or_not_at_all_is_told(plan, capsys, parts, said):
    plan(**({"space": {"ratio": {"grid": [0.4, 0.8]}}} | parts))
    assert said in capsys.readouterr().err
