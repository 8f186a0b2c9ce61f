"""How a sweep is said to Ray Tune."""

from __future__ import annotations

import pytest

from pipelines.jobs.ray_quirks.tune import NEXT_TO_NOTHING
from tests.helpers.runs.sweeps import config
from tune.search.plan import Plan
from tune.search.sweep_config import BudgetConfig, SchedulerConfig
from tune.trials.population import LINEAGE_FILE
from tune.trials.ray_tuner import leaves_processes_free, resources_of, searcher_of, space_of, trials_of
from tune.trials.trial import TRIAL_FILE, write_outcome

WORKERS = {"space": {"compute.workers": {"grid": [1, 2]}, "compute.cpus_per_worker": {"grid": [1, 3]}}}


SEARCHED = {
    "searcher": "optuna", "budget": BudgetConfig(trials=3), "concurrent": 1,
    "space": {"optimizer.lr": {"uniform": [0.01, 0.1]}, "K": {"choice": [[10, 20], [30]]}},
}  # fmt: skip


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


@pytest.mark.parametrize(("outcome", "state"), [("finished", "COMPLETE"), ("failed", "FAIL")])
def test_optuna_hears_of_the_outcome_that_a_trial_has_noted(plan, outcome, state):
    made = plan(**SEARCHED)
    searcher = searcher_of(made)
    searcher.set_search_properties("train/epoch_loss", "min", space_of(made))
    point = searcher.suggest("a")["trial"]["point"]
    write_outcome(made.run_folder(point, 0).make(), outcome)
    searcher.on_trial_result("a", {"training_iteration": 1, "train/epoch_loss": 2.0})
    searcher.on_trial_complete("a", {"training_iteration": 1, "train/epoch_loss": 2.0})
    assert [trial.state.name for trial in searcher._ot_study.trials] == [state]


def test_a_resumed_search_proposes_what_is_there_and_then_something_new(plan):
    made, points = plan(**SEARCHED), []
    for asked in (1, 2):
        searcher = searcher_of(made)
        searcher.set_search_properties("train/epoch_loss", "min", space_of(made))
        points += [searcher.suggest(f"{number}")["trial"]["point"] for number in range(asked)]
        (made.run_folder(points[0], 0).make() / TRIAL_FILE).write_json({"point": points[0], "seed": 0})
    first, again, new = points
    assert first == again != new
