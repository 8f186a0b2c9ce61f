"""How a sweep is said to Ray Tune: trials or domains, scheduler, searcher, resources."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import ray.tune
from ray.tune import FailureConfig, PlacementGroupFactory, RunConfig, TuneConfig
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.trainable import wrap_function

from pipelines.files.documents import read_note
from pipelines.jobs.ray_quirks.tune import NEXT_TO_NOTHING, ends_with_its_function, quiet_tune
from tune.points import identity
from tune.search.plan import Plan
from tune.search.ray_domains import domain
from tune.search.space import Space
from tune.trials.free_workers import FreeWorkers
from tune.trials.optuna_search import Proposals
from tune.trials.population import population_based, present_point, run_member
from tune.trials.progress_board import Board
from tune.trials.trial import CLOSING_SECONDS, TRIAL_FILE, SweepContext, outcome_of, run_trial
from tune.trials.unwritten import storage_of


def build_tuner(sweep: SweepContext, board: Board) -> ray.tune.Tuner:
    """The tuner of a sweep."""
    plan, config = sweep.plan, sweep.plan.config
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # a failed trial is said in one line, not by its traceback
    os.environ["TUNE_DISABLE_STRICT_METRIC_CHECKING"] = "1"  # a score may be due every few epochs only
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"  # MLflow has it all
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # Ctrl-C is a wish to stop like others, see pipelines.jobs.stops
    quiet_tune()
    search, samples, run = None, 1, run_member if plan.is_population else run_trial
    if plan.points:
        space: dict[str, Any] = {"trial": ray.tune.grid_search(trials_of(plan))}
    else:
        space, search, samples = space_of(plan), searcher_of(plan), config.budget.trials or 1
    return ray.tune.Tuner(
        ray.tune.with_resources(_process_of(ray.tune.with_parameters(run, sweep=sweep), sweep), partial(resources_of, plan)),
        param_space=space,
        tune_config=TuneConfig(
            metric=plan.metric, mode=plan.mode, search_alg=search, scheduler=_scheduler(plan), num_samples=samples,
            max_concurrent_trials=sweep.concurrent, time_budget_s=config.budget.hours and config.budget.hours * 3600,
            reuse_actors=leaves_processes_free(plan),  # the next trial has its imports behind it
        ),
        run_config=RunConfig(
            name=f"tune-{time.time_ns()}", storage_path=plan.folder.path, storage_filesystem=storage_of(plan.folder),
            callbacks=[board] if plan.is_of_single_workers else [board, FreeWorkers()], stop=board.must_stop, verbose=0,
            failure_config=FailureConfig(max_failures=plan.max_failures),
        ),
    )  # fmt: skip


def trials_of(plan: Plan) -> list[dict[str, Any]]:
    """Point and seed of each trial that is known, in the plan's order; members of a population have their present points."""
    return [
        {"point": present_point(plan, point, seed) if plan.is_population else point, "seed": seed}
        for point in plan.points
        for seed in plan.config.seeds
    ]


def _process_of(run: Callable[[dict[str, Any]], None], sweep: SweepContext) -> type[Any]:
    """Of a trial; one that drives workers waits for them only where all are wished to save and leave."""
    made: type[Any] = wrap_function(run)
    if sweep.plan.is_of_single_workers:
        return ends_with_its_function(made, CLOSING_SECONDS)
    return ends_with_its_function(made, CLOSING_SECONDS, sweep.wish.is_made)


def resources_of(plan: Plan, settings: Mapping[str, Any]) -> PlacementGroupFactory:
    """Of a trial's process: its worker's, or none where it only drives workers, which would then wait for them."""
    compute = plan.checked.get(identity(settings["trial"]["point"]), plan.base).compute
    own = {"CPU": float(compute.cpus_per_worker), "GPU": compute.gpus}
    return PlacementGroupFactory([own if compute.workers == 1 else NEXT_TO_NOTHING])


def leaves_processes_free(plan: Plan) -> bool:
    """Whether the process of a trial is free when that is over.

    One that drives workers is not where it may be stopped on its way: it waits for them.
    """
    runs_to_the_end = plan.config.scheduler.name == "none" and plan.config.budget.epochs is None
    return runs_to_the_end or plan.is_of_single_workers


def space_of(plan: Plan) -> dict[str, Any]:
    """What a searcher proposes from."""
    point = {axis.key: domain(axis) for axis in Space.parse(plan.config.space, plan.config.kind).axes}
    return {"trial": {"point": point, "seed": plan.config.seeds[0]}}


def searcher_of(plan: Plan) -> Proposals:
    """The searcher of a sweep, which meets the trials that are there already first."""

    def failed(point: dict[str, Any]) -> bool:
        return outcome_of(plan.run_folder(point, plan.config.seeds[0])) == "failed"

    known = _known(plan)
    seed = plan.config.seed + len(known)  # else it would begin with what it has proposed before
    return Proposals(failed, seed=seed, points_to_evaluate=known or None)


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
            chosen = read_note(plan.folder / name / TRIAL_FILE, point=dict)["point"]
            known.append({f"trial/point/{key}": value for key, value in chosen.items()})
    return known
