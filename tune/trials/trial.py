"""One trial of a sweep: a training run that reports its epochs to Ray Tune, or the replay of one that is done already."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune.integration.ray_train import TuneReportCallback

from pipelines.files.location import Location
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.tracking.figures import EPOCH
from pipelines.training.launch import TrialContext, train
from tune.points import spelled
from tune.search.plan import Plan

TRIAL_FILE, OUTCOME_FILE = "trial.json", "outcome.json"


def run_trial(settings: dict[str, Any], *, plan: Plan, parent: str, grows: bool) -> None:
    """Entry point of a trial's process.

    Args:
        settings: `trial`, with its `point` and `seed`.
        plan: of the sweep.
        parent: MLflow run id of the sweep.
        grows: whether the cluster may bring what a trial lacks.
    """
    go_home(plan)
    point, seed = settings["trial"]["point"], settings["trial"]["seed"]
    folder = plan.run_folder(point, seed)
    started = (folder / RUN_FILE).exists()
    if started:
        replay(str(folder))
    if outcome_of(folder) is not None:
        return
    (folder.make() / TRIAL_FILE).write_json({"point": point, "seed": seed})
    within = TrialContext(tags_of(plan, parent, point, seed), [TuneReportCallback()], shows_progress=False, grows=grows)
    train(plan.training(point, seed), resume=str(folder) if started else None, within=within)
    write_outcome(folder, "finished")


def go_home(plan: Plan) -> None:
    """Leave the folder that Ray Tune has moved this process to: nobody would look for local files there."""
    if Path(plan.home).is_dir():
        os.chdir(plan.home)


def tags_of(plan: Plan, parent: str, point: Mapping[str, Any], seed: int) -> dict[str, str]:
    """What a trial's MLflow run says of it."""
    return {
        "mlflow.parentRunId": parent,
        "quorum.sweep": plan.config.name,
        "quorum.point": spelled(point),
        "quorum.seed": str(seed),
    }


def replay(folder: str) -> None:
    """Report the epochs that a run has behind it, so that scheduler and searcher of a resumed sweep know them."""
    run = Run.open(folder)
    newest = run.checkpoints.latest()
    figures: dict[int, dict[str, float]] = {}
    for entry in run.history():
        values = entry.get("values", {})
        if newest is not None and values.get(EPOCH, newest.epoch) < newest.epoch:  # what follows is trained again
            figures[int(values[EPOCH])] = values
    for epoch in sorted(figures):
        ray.tune.report(figures[epoch] | {"replayed": 1})


def outcome_of(folder: Location) -> str | None:
    """How a trial ended: `finished`, or `stopped` by the scheduler; `None` for one that has to go on or to be tried again."""
    file = folder / OUTCOME_FILE
    return str(file.read_json()["outcome"]) if file.exists() else None


def write_outcome(folder: Location, outcome: str) -> None:
    """Note how a trial ended; from now on a resumed sweep does not repeat it."""
    (folder / OUTCOME_FILE).write_json({"outcome": outcome})
