"""One trial of a sweep: a training run that reports its epochs to Ray Tune, or the replay of one that is done already."""

from __future__ import annotations

from typing import Any

import ray.tune
from ray.tune.integration.ray_train import TuneReportCallback

from pipelines.journal import Journal
from pipelines.launch import Surroundings, train
from pipelines.run import RUN_FILE, Run
from pipelines.storage import Location
from tune.plan import Plan
from tune.space import identity

TRIAL_FILE, OUTCOME_FILE = "trial.json", "outcome.json"


def run_trial(settings: dict[str, Any], *, plan: Plan, parent: str) -> None:
    """Entry point of a trial's process.

    Args:
        settings: `trial`, with its `point` and `seed`.
        plan: of the sweep.
        parent: MLflow run id of the sweep.
    """
    point, seed = settings["trial"]["point"], settings["trial"]["seed"]
    folder = plan.run_folder(point, seed)
    started = (folder / RUN_FILE).exists()
    if started:
        replay(str(folder))
    if (folder / OUTCOME_FILE).exists():
        return
    (folder.make() / TRIAL_FILE).write_json({"point": point, "seed": seed})
    tags = {
        "mlflow.parentRunId": parent,
        "quorum.sweep": plan.config.name,
        "quorum.point": identity(point),
        "quorum.seed": str(seed),
    }
    within = Surroundings(tags, [TuneReportCallback()], shows_progress=False)
    config = plan.training(point, seed)
    train(config, resume=str(folder) if started else None, within=within)


def replay(folder: str) -> None:
    """Report the epochs that a run has behind it, so that scheduler and searcher of a resumed sweep know them."""
    run = Run.open(folder)
    newest = run.checkpoints.latest()
    figures: dict[int, dict[str, float]] = {}
    for entry in Journal(run.local_folder).history():
        values = entry.get("values", {})
        if newest is not None and values.get("epoch", newest.epoch) < newest.epoch:  # what follows is trained again
            figures[int(values["epoch"])] = values
    for epoch in sorted(figures):
        ray.tune.report(figures[epoch] | {"replayed": 1})


def write_outcome(folder: Location, outcome: str) -> None:
    """Note how a trial ended; from now on a resumed sweep does not repeat it."""
    (folder / OUTCOME_FILE).write_json({"outcome": outcome})
