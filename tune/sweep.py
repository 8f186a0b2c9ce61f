"""`quorum sweep`: trials over a search space through Ray Tune, each a run of its own below one parent run in MLflow."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ray
import yaml

from pipelines.cluster import connect
from pipelines.config import flatten
from pipelines.errors import UserError
from pipelines.run import RUN_FILE, Run
from pipelines.storage import Location
from pipelines.tracking import RunAddress, Tracker, start_run, tracking_uri
from tune.board import Board
from tune.plan import Plan
from tune.sweep_config import SweepConfig
from tune.trial import write_outcome
from tune.tuner import build_tuner

SWEEP_FILE, CONFIG_FILE = "sweep.json", "sweep.yaml"
FORMAT = 1
STATUS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}  # of MLflow


def sweep(config: SweepConfig, *, address: str | None = None, resume: bool = False) -> RunAddress:
    """Run a sweep to its end, or go on with the one of that name; returns its MLflow run.

    Raises:
        UserError: for input that cannot work, before a trial starts; or when no trial could be finished.
    """
    plan = Plan.of(config)
    compute = plan.base.compute
    connect(address, local_cpus=(config.concurrent or 1) * compute.workers * compute.cpus_per_worker + 1)
    concurrent = _room(plan, config.concurrent)
    parent = _reopen(plan) if resume else _create(plan)
    board = Board(config.metric, config.mode, plan.base.epochs, plan.trials)
    outcome = "FAILED"
    try:
        build_tuner(plan, parent.run_id, board, concurrent).fit()
        outcome = "FINISHED"
    except KeyboardInterrupt:
        outcome = "KILLED"
        raise
    finally:
        board.close()
        board.explain()
        _close_trials(plan, board)
        _close(plan, parent, outcome)
    if not board.finished:
        reasons = "; ".join(sorted({line.reason for line in board.lines.values() if line.reason})) or "none was started"
        raise UserError(f"no trial of the sweep finished: {reasons}")
    return parent


def _room(plan: Plan, asked: int | None) -> int:
    """How many trials fit at a time: their workers must leave a CPU to the stream's tasks, or all would wait for each other.

    Raises:
        UserError: when fewer fit than asked for.
    """
    compute, resources = plan.base.compute, ray.cluster_resources()
    fits = int((resources.get("CPU", 0) - 1) // (compute.workers * compute.cpus_per_worker))
    if compute.gpu:
        fits = min(fits, int(resources.get("GPU", 0) // compute.workers))
    if fits < (asked or 1):
        raise UserError(
            f"{asked or 1} trials at a time with {compute.workers} workers each do not fit the cluster "
            f"({resources.get('CPU', 0):.0f} CPUs, {resources.get('GPU', 0):.0f} GPUs, one CPU kept for the stream); "
            "lower concurrent or settings.compute.workers"
        )
    return asked or fits


def _create(plan: Plan) -> RunAddress:
    config, folder = plan.config, plan.folder
    if (folder / SWEEP_FILE).exists():
        raise UserError(f"{folder} already holds a sweep; choose another name, or go on with it: --resume {folder}")
    folder.make()
    (folder / CONFIG_FILE).write_bytes(yaml.safe_dump(plan.config.to_dict(), sort_keys=False).encode())
    tags = {"quorum.kind": "sweep", "quorum.metric": config.metric, "quorum.mode": config.mode, "run_folder": str(folder)}
    uri = tracking_uri(config.tracking.uri, Location.of(config.storage))
    address = start_run(uri, config.tracking.experiment, config.name, params=flatten(config.to_dict()), tags=tags)
    (folder / SWEEP_FILE).write_json({"format": FORMAT, "mlflow": vars(address)})
    return address


def _reopen(plan: Plan) -> RunAddress:
    if not (plan.folder / SWEEP_FILE).exists():
        raise UserError(f"{plan.folder} holds no {SWEEP_FILE}, so it is no sweep; start it without --resume")
    return RunAddress(**(plan.folder / SWEEP_FILE).read_json()["mlflow"])


def _close_trials(plan: Plan, board: Board) -> None:
    """Note how each trial ended, in its folder and in MLflow: one that was stopped had no time to do it itself."""
    for line in board.lines.values():
        folder = plan.run_folder(json.loads(line.point), line.seed)
        if line.state not in STATUS or not (folder / RUN_FILE).exists():
            continue
        run = Run.open(str(folder))
        tracker = Tracker(run.local_folder, run.address)
        tracker.tag("quorum.outcome", line.state)
        if line.reason:
            tracker.tag("quorum.reason", line.reason[:400])
            print(f"{line.point}, seed {line.seed} failed: {line.reason}", file=sys.stderr)
        tracker.status(STATUS[line.state])
        tracker.close()
        if line.state != "failed":  # a failed trial is tried again by a resumed sweep
            write_outcome(folder, line.state)


def _close(plan: Plan, parent: RunAddress, outcome: str) -> None:
    folder = Path(plan.folder.path) if plan.folder.is_local else Path("outputs").absolute() / plan.folder.name
    tracker = Tracker(folder, parent)
    tracker.status(outcome)
    tracker.close()
