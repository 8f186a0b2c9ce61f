"""How a sweep is said to Ray Tune."""

from __future__ import annotations

import pytest

from tests.helpers.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig, SchedulerConfig
from tune.trials.ray_tuner import runs_to_the_end


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, True),
        ({"budget": BudgetConfig(hours=1.0)}, True),  # which ends the whole sweep
        ({"budget": BudgetConfig(epochs=3)}, False),
        ({"scheduler": SchedulerConfig("asha")}, False),
    ],
)
def test_a_driver_is_used_again_only_where_no_trial_is_stopped_on_its_way(some_digits, tmp_path, parts, expected):
    assert runs_to_the_end(Plan.of(config(str(some_digits.location), tmp_path, **parts))) is expected
