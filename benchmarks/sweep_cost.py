"""Seconds that a trial of `quorum sweep` takes beyond the same run alone, and whether both end in the same bits.

    python -m benchmarks.sweep_cost --sweep digits --trials 5

Both sides train the same configurations (the first point of the sweep, one seed after another) in one process, on one local Ray
that is up already, first alone and then as a sweep, one at a time. One more run before them warms files and imports.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.report import Figure
from pipelines.config.recipe import read_recipe
from pipelines.files.location import Location
from pipelines.ingest.ingest import ingest
from pipelines.ingest.recognise import open_source
from pipelines.jobs.ray_cluster import connect
from pipelines.runs.run_folder import Run
from pipelines.training.launch import train
from tune.search.plan import Plan
from tune.search.sweep_config import SweepConfig
from tune.trials.sweep import sweep

LEARNED = ("method", "optimizer", "scaler")  # of a checkpoint


def main() -> None:
    """Train alone, train as a sweep, print the difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", default="digits")
    parser.add_argument("--trials", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = list(range(options.trials))
        given = read_recipe(options.sweep, SweepConfig)
        ingest(open_source("digits"), f"{folder}/digits", name="digits")
        data = given.settings | {"data": f"{folder}/digits"}
        config = replace(given, settings=data, storage=folder, seeds=seeds, concurrent=1, budget=replace(given.budget, trials=1))
        plan = Plan.of(config)
        compute = plan.base.compute
        connect("local", local_cpus=compute.workers * compute.cpus_per_worker + 1)
        runs = [replace(plan.training(plan.points[0], seed), storage=f"{folder}/alone") for seed in seeds]
        train(replace(runs[0], name="warm-up"))
        alone = [seconds_of(partial(train, one)) for one in runs]
        began = time.time()
        together = seconds_of(partial(sweep, config))
        places = [plan.run_folder(plan.points[0], seed) for seed in seeds]
        ends = [began, *(last_record(place) for place in places)]
        same = [same_bits(Location.of(f"{folder}/alone") / place.name, place) for place in places]
    publish(alone, [end - start for start, end in pairwise(ends)], same, together)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def last_record(place: Location) -> float:
    """When a run wrote its last record, which is its end."""
    return max(entry["time"] for entry in Run.open(str(place)).history() if "time" in entry) / 1000


def same_bits(first: Location, second: Location) -> bool:
    """Whether two runs end in equal tensors."""

    def learned(place: Location) -> dict[str, Any]:
        store = Run.open(str(place)).checkpoints
        newest = store.latest()
        assert newest is not None, "a run ends with a checkpoint"
        state = store.load(newest)
        return {key: state[key] for key in LEARNED}

    return equal(learned(first), learned(second))


def equal(first: Any, second: Any) -> bool:
    """Whether nested values are equal, tensors bit by bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    return bool(first == second)


def publish(alone: list[float], trials: list[float], same: list[bool], together: float) -> None:
    """Print a line a trial, and the means: a trial reaches from the end of the one before, the first from the sweep's start."""
    table = Table(title="A trial of a sweep beside the same run alone", title_justify="left")
    for column in ("seed", "alone, s", "in the sweep, s", "difference, s", "same bits"):
        table.add_column(column, justify="right")
    for seed, (one, trial, bits) in enumerate(zip(alone, trials, same, strict=True)):
        table.add_row(str(seed), f"{one:.1f}", f"{trial:.1f}", f"{trial - one:+.1f}", "yes" if bits else "NO")
    mean_alone, mean_trial = sum(alone) / len(alone), together / len(trials)
    bits = "yes" if all(same) else "NO"
    table.add_row("mean", f"{mean_alone:.1f}", f"{mean_trial:.1f}", f"{mean_trial - mean_alone:+.1f}", bits)
    Console(width=130, highlight=False).print(table)
    load = f"load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"
    print(f"{mean_trial - mean_alone:.1f} s a trial beyond the run alone, the whole sweep counted; {len(trials)} trials, {load}")
    Figure("sweep_cost", mean_trial - mean_alone, "s").tell()
    Figure("sweep_bits", same.count(False), "trials").tell()


if __name__ == "__main__":
    main()
