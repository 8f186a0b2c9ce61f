"""Population-based training: every few epochs the worst members go on from the state of the best, with changed settings.

A member trains interval by interval, each a part of one run. Between two of them Ray Tune compares the members, and hands the
worst the checkpoint and the changed settings of a better one.

Source: Jaderberg et al., Population Based Training of Neural Networks, arXiv:1711.09846, through Ray Tune's scheduler.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import ray.tune
from ray.tune.schedulers import PopulationBasedTraining

from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore, Entry
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.training.launch import train
from tune.points import spelled
from tune.search.plan import Plan, trial_name
from tune.search.ray_domains import domain
from tune.search.space import Point, Space
from tune.trials.trial import SweepContext, is_over, refusals_noted, write_outcome

EPOCHS_DONE, EPOCHS_TRAINED = "epochs_done", "epochs_trained"
HANDOVER_FILE, LINEAGE_FILE = "handover.json", "lineage.json"


def population_based(plan: Plan) -> PopulationBasedTraining:
    """Ray Tune's scheduler; all members meet at each interval's end, so that none is compared with another's later state."""
    rule, axes = plan.config.scheduler, Space.parse(plan.config.space, plan.config.kind).axes
    bounds = {axis.key: axis.values for axis in axes if axis.kind not in ("grid", "choice")}

    def keep_within(config: dict[str, Any]) -> dict[str, Any]:
        point = config["trial"]["point"]
        for key, (low, high) in bounds.items():
            point[key] = type(low)(min(max(point[key], low), high))
        return config

    mutations = {axis.key: domain(axis) if axis.key in bounds else axis.values for axis in axes}
    return PopulationBasedTraining(
        time_attr=EPOCHS_DONE, perturbation_interval=rule.interval_epochs, quantile_fraction=rule.share,
        hyperparam_mutations={"trial": {"point": mutations}}, custom_explore_fn=keep_within, synch=True, log_config=False,
    )  # fmt: skip


def start_of(plan: Plan, trial_id: str) -> Point:
    """The point that a member started from: Ray Tune numbers trials in the order of the points."""
    return plan.points[int(trial_id.rpartition("_")[2])]


def run_member(settings: dict[str, Any], *, sweep: SweepContext) -> None:
    """Entry point of a member's process, at its start and after each exchange that it lost.

    Args:
        settings: `trial`, with its present `point` and its `seed`.
        sweep: that it is a part of.
    """
    sweep.enter()
    plan, handed = sweep.plan, ray.tune.get_checkpoint()
    start, seed = start_of(plan, ray.tune.get_context().get_trial_id()), settings["trial"]["seed"]
    point, folder = settings["trial"]["point"], plan.run_folder(start, seed)
    if handed is not None:
        with handed.as_directory() as place:
            take_over(sweep, folder, json.loads((Path(place) / HANDOVER_FILE).read_text()), point)
    elif (folder / LINEAGE_FILE).exists():  # of a resumed sweep
        point = (folder / LINEAGE_FILE).read_json()[-1]["point"]
    done = epochs_done(folder)
    if done and handed is None:
        report(sweep, folder, trained=0)
    if is_over(folder):
        return
    with refusals_noted(folder.make()):
        train_intervals(sweep, folder, start, point, seed)


def train_intervals(sweep: SweepContext, folder: Location, start: Point, point: Point, seed: int) -> None:
    """Train from where a member stands to its end; after each interval another member may take its place."""
    config = replace(sweep.plan.training(point, seed), name=trial_name(start, seed))
    done, interval = epochs_done(folder), sweep.plan.config.scheduler.interval_epochs
    while done < config.epochs:
        end = min((done // interval + 1) * interval, config.epochs)
        resume = str(folder) if (folder / RUN_FILE).exists() else None
        train(config, resume=resume, within=sweep.trial(start, seed, until=end))
        if end == config.epochs:
            write_outcome(folder, "finished")
        report(sweep, folder, trained=end - done)
        done = end


def epochs_done(folder: Location) -> int:
    """Epochs that the newest checkpoint of a member has behind it."""
    newest = CheckpointStore(folder / "checkpoints").latest()
    return newest.epoch if newest else 0


def report(sweep: SweepContext, folder: Location, *, trained: int) -> None:
    """Tell Ray Tune the newest value of each figure, and where the state lies that another member may take over."""
    run = Run.open(str(folder))
    figures: dict[str, float] = {}
    for entry in sweep.at_home(run.history):
        figures |= entry.get("values", {})
    newest = run.checkpoints.latest()
    assert newest is not None, "an interval ends with a checkpoint"
    progress = {EPOCHS_DONE: newest.epoch, EPOCHS_TRAINED: trained}
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / HANDOVER_FILE).write_text(json.dumps({"folder": str(folder), "entry": asdict(newest)}))
        ray.tune.report(figures | progress, checkpoint=ray.tune.Checkpoint.from_directory(place))


def take_over(sweep: SweepContext, folder: Location, handed: Mapping[str, Any], point: Point) -> None:
    """Let a member go on from what it was handed, and note it in its folder and in MLflow; its own state changes nothing."""
    if handed["folder"] == str(folder):
        return
    donor, entry = Location.of(handed["folder"]), Entry(**handed["entry"])
    run = Run.open(str(folder))
    run.checkpoints.take_over(CheckpointStore(donor / "checkpoints"), entry)
    lineage = (folder / LINEAGE_FILE).read_json() if (folder / LINEAGE_FILE).exists() else []
    lineage.append({"epoch": entry.epoch, "from": donor.name, "point": point})
    (folder / LINEAGE_FILE).write_json(lineage)
    told = "; ".join(f"epoch {step['epoch']}: {step['from']}, {spelled(step['point'])}" for step in lineage)
    sweep.at_home(partial(tag, run, "quorum.lineage", told))


def tag(run: Run, key: str, value: str) -> None:
    """Set a tag of a run that nobody records just now."""
    tracker = Tracker(run.local_folder, run.address)
    tracker.tag(key, value)
    tracker.close()
