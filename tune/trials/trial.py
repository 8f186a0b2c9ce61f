"""One trial of a sweep: a training run that reports its epochs to Ray Tune, or the replay of one that is done already.

A trial of one worker trains in its own process, on the CPUs or the GPU that Ray Tune found for it on any node. One of several is
the driver of a Ray Train job, and takes no resources itself.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ray.tune
from ray.tune.integration.ray_train import TuneReportCallback

from pipelines.errors import Stopped, UserError
from pipelines.files.documents import read_note
from pipelines.files.location import Location
from pipelines.jobs.ray_cluster import call_on
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.runs.run_job import TrialContext
from pipelines.tracking.figures import EPOCH
from pipelines.training.launch import train
from tune.points import spelled
from tune.search.plan import Plan
from tune.trials.wish import SweepWish

TRIAL_FILE, OUTCOME_FILE = "trial.json", "outcome.json"
CLOSING_SECONDS = 120  # that a stopped trial may take to close its record, before its process is used again

Result = TypeVar("Result")


@dataclass(frozen=True)
class SweepContext:
    """The sweep as its trials know it, on whatever node they are.

    Attributes:
        plan: of the sweep.
        parent: its MLflow run id.
        source: who started it with what, as tags.
        node: that it was started on.
        grows: whether the cluster may bring what a trial lacks.
        wish: to stop it.
        concurrent: trials at a time.
    """

    plan: Plan
    parent: str
    source: dict[str, str]
    node: str
    grows: bool
    wish: SweepWish
    concurrent: int = 1

    def trial(self, point: Mapping[str, Any], seed: int, **more: Any) -> TrialContext:
        """What the sweep gives the run of a trial; `more` is the trial's own."""
        tags = {
            **self.source, "mlflow.parentRunId": self.parent, "quorum.sweep": self.plan.config.name,
            "quorum.point": spelled(point), "quorum.seed": str(seed),
        }  # fmt: skip
        return TrialContext(self.node, self.plan.home, self.grows, tags, wished=self.wish.is_made, beside=self.concurrent, **more)

    def at_home(self, function: Callable[[], Result]) -> Result:
        """Call a function where the sweep was started: node and folder, in which local files of remote runs are."""
        return call_on(self.node, partial(_in_folder, self.plan.home, function))

    def enter(self) -> None:
        """Make this process a trial's: it leaves the folder that Ray Tune has moved it to, which nobody would look in."""
        os.environ["TUNE_FUNCTION_THREAD_TIMEOUT_S"] = str(CLOSING_SECONDS)
        if Path(self.plan.home).is_dir():
            os.chdir(self.plan.home)


def _in_folder(folder: str, function: Callable[[], Result]) -> Result:
    with contextlib.chdir(folder):
        return function()


def run_trial(settings: dict[str, Any], *, sweep: SweepContext) -> None:
    """Entry point of a trial's process.

    Args:
        settings: `trial`, with its `point` and `seed`.
        sweep: that it is a part of.
    """
    sweep.enter()
    point, seed = settings["trial"]["point"], settings["trial"]["seed"]
    folder = sweep.plan.run_folder(point, seed)
    started = (folder / RUN_FILE).exists()
    if started:
        replay(sweep, folder)
    if is_over(folder):
        return
    (folder.make() / TRIAL_FILE).write_json({"point": point, "seed": seed})
    with refusals_noted(folder):
        config = sweep.plan.training(point, seed)
        within = sweep.trial(point, seed, **_reporting(config.compute.workers))
        train(config, resume=str(folder) if started else None, within=within)
        write_outcome(folder, "finished")


def _reporting(workers: int) -> dict[str, Any]:
    """How the figures of an epoch come to Ray Tune: from this process, or through Ray Train from the workers'."""
    return {"report": ray.tune.report} if workers == 1 else {"callbacks": [TuneReportCallback()]}


def replay(sweep: SweepContext, folder: Location) -> None:
    """Report the epochs that a run has behind it, so that scheduler and searcher of a resumed sweep know them."""
    run = Run.open(str(folder))
    newest = run.checkpoints.latest()
    figures: dict[int, dict[str, float]] = {}
    for entry in sweep.at_home(run.history):
        values = entry.get("values", {})
        if newest is not None and values.get(EPOCH, newest.epoch) < newest.epoch:  # what follows is trained again
            figures[int(values[EPOCH])] = values
    for epoch in sorted(figures):
        ray.tune.report(figures[epoch] | {"replayed": 1})


@contextlib.contextmanager
def refusals_noted(folder: Location) -> Iterator[None]:
    """A trial that is refused within the block ends with that noted: whatever is raised, Ray Tune tries again.

    One that is wished to stop has saved, and ends without an outcome: a resumed sweep goes on with it.
    """
    (folder / OUTCOME_FILE).delete_file()
    try:
        yield
    except UserError as error:
        write_outcome(folder, "failed", str(error))
    except Stopped:
        return


def outcome_of(folder: Location) -> str | None:
    """How a trial ended: `finished`, `stopped` by the scheduler or `failed`.

    `None` for one that was cut off, and where the note is damaged: a sweep that goes on comes to the same end again.
    """
    with contextlib.suppress(UserError):
        return str(_noted(folder)["outcome"]) if (folder / OUTCOME_FILE).exists() else None
    return None


def reason_of(folder: Location) -> str:
    """Why a trial failed, in a sentence."""
    return str(_noted(folder).get("reason", ""))


def is_over(folder: Location) -> bool:
    """Whether a resumed sweep has nothing to do for a trial; one that failed is tried again."""
    return outcome_of(folder) in ("finished", "stopped")


def write_outcome(folder: Location, outcome: str, reason: str = "") -> None:
    """Note how a trial ended."""
    (folder / OUTCOME_FILE).write_json({"outcome": outcome} | ({"reason": reason} if reason else {}))


def _noted(folder: Location) -> dict[str, Any]:
    return read_note(folder / OUTCOME_FILE, outcome=str)
