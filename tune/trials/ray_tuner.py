"""How a sweep is said to Ray Tune: trials or domains, scheduler, searcher, resources."""

from __future__ import annotations

import logging
import os
import time
from typing import Any

import ray.tune
import ray.util
from ray.tune import RunConfig, TuneConfig
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from tune.search.plan import Plan
from tune.search.ray_domains import domain
from tune.search.space import Space
from tune.trials.optuna_search import Proposals
from tune.trials.population import population_based, run_member
from tune.trials.progress_board import Board
from tune.trials.trial import TRIAL_FILE, run_trial

SLIVER = 1e-3  # of this node's own resource, which pins a trial's driver here and limits nothing


def build_tuner(plan: Plan, parent: str, board: Board, *, concurrent: int, grows: bool) -> ray.tune.Tuner:
    """The tuner of a sweep whose MLflow run is `parent`."""
    config = plan.config
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is said in one line, not by its traceback
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a score may be due every few epochs only
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # MLflow has it all
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # which prints all figures of a trial that fails, however quiet it is asked to be
    search, samples, run = None, 1, run_member if config.scheduler.name == "pbt" else run_trial
    if plan.points:
        trials = [{"point": point, "seed": seed} for point in plan.points for seed in config.seeds]
        space: dict[str, Any] = {"trial": ray.tune.grid_search(trials)}
    else:
        point = {axis.key: domain(axis) for axis in Space.parse(config.space, config.kind).axes}
        space = {"trial": {"point": point, "seed": config.seeds[0]}}
        search, samples = Proposals(seed=config.seed, points_to_evaluate=_known(plan) or None), config.budget.trials or 1
    return ray.tune.Tuner(
        ray.tune.with_resources(ray.tune.with_parameters(run, plan=plan, parent=parent, grows=grows), _driver_resources()),
        param_space=space,
        tune_config=TuneConfig(
            metric=config.metric, mode=config.mode, search_alg=search, scheduler=_scheduler(plan), num_samples=samples,
            max_concurrent_trials=concurrent, time_budget_s=config.budget.hours and config.budget.hours * 3600,
            reuse_actors=runs_to_the_end(plan),  # the next trial's driver has its imports behind it
        ),
        run_config=RunConfig(
            name=f"tune-{time.time_ns()}", storage_path=plan.folder.path, storage_filesystem=plan.folder.filesystem,
            callbacks=[board], stop=board.must_stop, verbose=0,
        ),
    )  # fmt: skip


def runs_to_the_end(plan: Plan) -> bool:
    """Whether no trial is stopped on its way: a driver that waits for its workers would never be free for the next one."""
    return plan.config.scheduler.name == "none" and plan.config.budget.epochs is None


def _driver_resources() -> dict[str, float]:
    """Of a trial's driver: no CPU, which its own workers would then wait for, and this node, where the local files are."""
    here = f"node:{ray.util.get_node_ip_address()}"
    return {"CPU": 0.0, here: SLIVER} if here in ray.cluster_resources() else {"CPU": 0.0, "memory": 1.0}


def _scheduler(plan: Plan) -> TrialScheduler:
    rule = plan.config.scheduler
    if rule.name == "none":
        return FIFOScheduler()
    if rule.name == "pbt":
        return population_based(plan)
    return ASHAScheduler(
        time_attr="training_iteration", max_t=plan.epochs, grace_period=rule.grace_epochs, reduction_factor=rule.reduction,
        stop_last_trials=False,  # a trial at its end still has to close its record
    )  # fmt: skip


def _known(plan: Plan) -> list[dict[str, Any]]:
    """Points of trials that are there already, as the searcher spells them: it meets them first, and they are replayed."""
    known = []
    for name in plan.folder.children():
        if (plan.folder / name / TRIAL_FILE).exists():
            chosen = (plan.folder / name / TRIAL_FILE).read_json()
            known.append({f"trial/point/{key}": value for key, value in chosen["point"].items()})
    return known
