"""A trial is the run that it would be alone: the same bits, whoever trained in its process before, and whatever became of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from mlflow.tracking import MlflowClient

from pipelines.runs.run_folder import Run
from pipelines.training.launch import train
from tests.helpers.runs.killed_runs import differing, final_state, kill_once, learned, process_called, wait_for_step
from tests.helpers.runs.sweeps import small
from tune.search.plan import Plan
from tune.trials.sweep import sweep
from tune.trials.trial import outcome_of

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

EPOCHS = 2


def alone(plan: Plan, point: dict[str, Any], storage: Path) -> dict[str, Any]:
    """What the run of a point learns without the sweep."""
    run = train(replace(plan.training(point, 0), storage=str(storage)))
    return learned(final_state(Path(run.location.path), EPOCHS))


def in_sweep(plan: Plan, point: dict[str, Any]) -> dict[str, Any]:
    return learned(final_state(Path(plan.run_folder(point, 0).path), EPOCHS))


def trial_process() -> psutil.Process | None:
    """That of the trial which runs."""
    return process_called("ResourceTrainable.train")


@pytest.mark.slow
def test_a_trial_in_a_used_process_ends_in_the_bits_of_the_same_run_alone(digits, tmp_path):
    plan = Plan.of(small(digits, tmp_path))
    sweep(plan.config)
    second = plan.points[1]  # the first has trained in its process before
    assert differing(alone(plan, second, tmp_path / "alone"), in_sweep(plan, second)) == []


@pytest.mark.slow
def test_a_trial_whose_process_dies_goes_on_to_the_same_bits(digits, tmp_path):
    settings = small(digits, tmp_path, space={"optimizer.lr": {"grid": [0.03]}}, settings={"compute.max_failures": 1})
    plan = Plan.of(settings)
    (point,) = plan.points
    folder = Path(plan.run_folder(point, 0).path)

    def once_it_has_trained() -> psutil.Process | None:
        if not (folder / "checkpoints" / "index.json").exists():
            return None
        wait_for_step(folder, 7)
        return trial_process()

    killed = kill_once(once_it_has_trained)
    address = sweep(settings)
    assert killed
    assert differing(alone(plan, point, tmp_path / "alone"), in_sweep(plan, point)) == []
    assert MlflowClient(address.uri).get_run(Run.open(str(folder)).address.run_id).info.status == "FINISHED"


@pytest.mark.slow
def test_a_driver_of_several_workers_that_dies_before_they_report_leaves_their_cpus_to_the_next(digits, tmp_path):
    workers = {"compute.workers": 2, "compute.max_failures": 1}
    settings = small(digits, tmp_path, space={"optimizer.lr": {"grid": [0.03]}}, settings=workers)
    plan = Plan.of(settings)

    def once_workers_have_a_place() -> psutil.Process | None:
        groups = ray.util.placement_group_table().values() if ray.is_initialized() else []
        placed = any(len(group["bundles"]) == 2 and group["state"] == "CREATED" for group in groups)
        return trial_process() if placed else None

    killed = kill_once(once_workers_have_a_place)
    sweep(settings)  # its second attempt and the stream want three of four CPUs
    assert killed
    assert outcome_of(plan.run_folder(plan.points[0], 0)) == "finished"
    state = final_state(Path(plan.run_folder(plan.points[0], 0).path), EPOCHS)
    assert state["workers"] == 2
    assert ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0) <= 1
