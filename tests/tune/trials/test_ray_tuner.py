"""How a sweep is said to Ray Tune."""

from __future__ import annotations

import pytest

from pipelines.jobs.ray_quirks.tune import NEXT_TO_NOTHING
from tests.helpers.runs.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig, SchedulerConfig
from tune.trials.population import LINEAGE_FILE
from tune.trials.ray_tuner import leaves_processes_free, resources_of, trials_of

WORKERS = {"space": {"compute.workers": {"grid": [1, 2]}, "compute.cpus_per_worker": {"grid": [1, 3]}}}


@pytest.fixture
def plan(some_digits, tmp_path):
    def make(**parts) -> Plan:
        return Plan.of(config(str(some_digits.location), tmp_path, **parts))

    return make


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({}, True),
        ({"scheduler": SchedulerConfig("asha")}, True),  # which stops trials, but each trains in its own process
        (WORKERS, True),
        (WORKERS | {"budget": BudgetConfig(hours=1.0)}, True),  # which ends the whole sweep
        (WORKERS | {"budget": BudgetConfig(epochs=3)}, False),
        (WORKERS | {"scheduler": SchedulerConfig("asha")}, False),
    ],
)
def test_a_process_is_used_again_unless_it_may_wait_for_workers_of_a_trial_that_is_over(plan, parts, expected):
    assert leaves_processes_free(plan(**parts)) is expected


def test_a_trial_of_one_worker_has_what_that_needs_and_a_driver_of_several_nothing(plan):
    some = plan(**WORKERS)
    asked = [(point, resources_of(some, {"trial": {"point": point}}).required_resources) for point in some.points]
    for point, resources in asked:
        alone = point["compute.workers"] == 1
        assert resources == ({"CPU": point["compute.cpus_per_worker"]} if alone else NEXT_TO_NOTHING)


def test_a_part_of_a_gpu_is_asked_for_as_such(plan):
    gpu = plan(space={"compute.gpu": {"grid": [True]}, "compute.gpus_per_worker": {"grid": [0.5]}})
    assert resources_of(gpu, {"trial": {"point": gpu.points[0]}}).required_resources == {"CPU": 1, "GPU": 0.5}


def test_a_resumed_population_goes_on_with_the_points_that_its_members_have_now(plan):
    members = plan(scheduler=SchedulerConfig("pbt"), space={"optimizer.lr": {"grid": [0.1, 0.2]}})
    now = {"optimizer.lr": 0.3}
    place = members.run_folder(members.points[1], 0).make() / LINEAGE_FILE
    place.write_json([{"epoch": 1, "from": "other", "point": {"optimizer.lr": 0.4}}, {"epoch": 2, "from": "other", "point": now}])
    assert trials_of(members) == [{"point": members.points[0], "seed": 0}, {"point": now, "seed": 0}]
