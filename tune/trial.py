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


def run_trial(settings: dict[str, Any]) -> None:
    """Entry point of a trial's process.

    Args:
        settings: `plan`, `parent` (MLflow run id of the sweep), and `trial` with `point` and `seed`.
    """
    plan: Plan = settings["plan"]
    point, seed = settings["trial"]["point"], settings["trial"]["seed"]
    folder = plan.run_folder(point, seed)
    if (folder / OUTCOME_FILE).exists():
        return replay(str(folder))
    (folder.make() / TRIAL_FILE).write_json({"point": point, "seed": seed})
    tags = {
        "mlflow.parentRunId": settings["parent"],
        "quorum.sweep": plan.config.name,
        "quorum.point": identity(point),
        "quorum.seed": str(seed),
    }
    within = Surroundings(tags, [TuneReportCallback()], shows_progress=False)
    config = plan.training(point, seed)
    train(config, resume=str(folder) if (folder / RUN_FILE).exists() else None, within=within)


def replay(folder: str) -> None:
    """Report the epochs of a finished run again, so that scheduler and searcher know them in a resumed sweep."""
    for figures in epochs(folder):
        ray.tune.report(figures | {"replayed": 1})


def epochs(folder: str) -> list[dict[str, float]]:
    """Figures of each epoch of a run, the last record of each."""
    found: dict[int, dict[str, float]] = {}
    for entry in Journal(Run.open(folder).local_folder).history():
        if "epoch" in entry.get("values", {}):
            found[int(entry["values"]["epoch"])] = entry["values"]
    return [found[epoch] for epoch in sorted(found)]


def write_outcome(folder: Location, outcome: str) -> None:
    """Note how a trial ended; from now on a resumed sweep does not repeat it."""
    (folder / OUTCOME_FILE).write_json({"outcome": outcome})
