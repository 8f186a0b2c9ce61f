"""Seconds that a trial of `quorum sweep` takes beyond the same run alone; the bar is 10 s.

    python -m benchmarks.sweep_cost --sweep quorum/recipes/sweeps/digits.yaml --trials 4

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
from pathlib import Path

from pipelines.config.recipe import read_recipe
from pipelines.jobs.ray_cluster import connect
from pipelines.tracking.journal import read_journal
from pipelines.training.launch import train
from tune.search.plan import Plan
from tune.search.sweep_config import SweepConfig
from tune.trials.sweep import sweep

BAR = 10.0


def main() -> None:
    """Train alone, train as a sweep, print the difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweep", default="quorum/recipes/sweeps/digits.yaml")
    parser.add_argument("--trials", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = list(range(options.trials))
        given = read_recipe(options.sweep, SweepConfig)
        config = replace(given, storage=folder, seeds=seeds, concurrent=1, budget=replace(given.budget, trials=1))
        plan = Plan.of(config)
        compute = plan.base.compute
        connect("local", local_cpus=compute.workers * compute.cpus_per_worker + 1)
        runs = [replace(plan.training(plan.points[0], seed), storage=f"{folder}/alone") for seed in seeds]
        train(replace(runs[0], name="warm-up"))
        alone = [seconds_of(partial(train, one)) for one in runs]
        together = seconds_of(partial(sweep, config))
        trials = [seconds_between_records(Path(str(plan.run_folder(plan.points[0], seed)))) for seed in seeds]
    print(f"alone: {', '.join(f'{seconds:.1f}' for seconds in alone)} s; sum {sum(alone):.1f} s")
    print(f"sweep: {together:.1f} s; its trials from first to last record: {', '.join(f'{seconds:.1f}' for seconds in trials)} s")
    print(
        f"{(together - sum(alone)) / options.trials:.1f} s a trial beyond the run alone (bar {BAR:.0f} s), "
        f"{options.trials} trials, load {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores"
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = time.monotonic()
    work()
    return time.monotonic() - began


def seconds_between_records(folder: Path) -> float:
    """Wall time between a run's first figures and its last."""
    times = [entry["time"] for entry in read_journal(folder) if "time" in entry]
    return (max(times) - min(times)) / 1000


if __name__ == "__main__":
    main()
