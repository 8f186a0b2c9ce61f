"""The sweep on the screen: one line a trial, refreshed; and each trial's end in the record."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.table import Table

from pipelines.files.location import Location
from pipelines.jobs.deaths import cause_of
from pipelines.jobs.waiting import Waiting
from pipelines.tracking.figures import EPOCH, IMAGES_SEEN
from pipelines.words import tell
from tune.points import spelled
from tune.search.plan import Plan
from tune.trials.population import EPOCHS_DONE, EPOCHS_TRAINED, start_of
from tune.trials.trial import outcome_of, reason_of, write_outcome
from tune.trials.unwritten import Unwritten

ENDED = ("finished", "stopped", "failed")
PLAIN_INTERVAL = 10.0  # seconds between lines where the output is no terminal
UNTOLD = "it failed, and why could not be written to the sweep's folder; look whether that has room"


@dataclass
class TrialLine:
    """What is known of a trial."""

    point: str
    seed: int
    state: str = "waiting"
    epoch: int = 0
    images_per_second: float = 0.0
    last: float | None = None
    best: float | None = None
    reason: str = ""
    began: float = 0.0
    replayed_images: float = 0.0


class Board(Callback):
    """Follows trials through Ray Tune's callbacks, which run in the sweep's own process.

    Args:
        plan: of the sweep.
    """

    def __init__(self, plan: Plan) -> None:
        self.is_left = False  # whether the sweep is wished to stop, and trials save and leave
        self._plan, self.metric, self.better = Unwritten(plan), plan.metric, max if plan.mode == "max" else min
        self.epochs, self.total = plan.epochs, plan.trials
        self.lines: dict[str, TrialLine] = {}
        self._failed: list[Any] = []
        self._began = self._said = time.monotonic()
        self._waiting = Waiting(f"a trial of {plan.needs['CPU']:g} CPUs and {plan.needs['GPU']:g} GPUs")
        self._trained = 0  # epochs that took time: replayed ones do not tell how long the rest will take
        self._live = Live(console=Console(stderr=True), refresh_per_second=2) if sys.stderr.isatty() else None
        if self._live:
            self._live.start()

    @property
    def plan(self) -> Plan:
        """Of the sweep."""
        return self._plan()

    def __getstate__(self) -> dict[str, Any]:
        """Without the terminal and the plan: Ray Tune stores its callbacks beside the sweep."""
        return vars(self) | {"_live": None, "_failed": []}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Ray Tune looks for something to do."""
        for sentence in self._waiting.look(at_work=bool(self.count("running"))):
            tell(sentence)

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins."""
        line = self._line(trial)
        line.state, line.began = "running", time.monotonic()
        self._show()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """An epoch of a trial is over."""
        line = self._line(trial)
        line.epoch = int(result.get(EPOCH, line.epoch)) + 1
        images = float(result.get(IMAGES_SEEN, 0.0))
        if result.get("replayed"):
            line.replayed_images = images
        else:
            self._trained += int(result.get(EPOCHS_TRAINED, 1))
            line.images_per_second = (images - line.replayed_images) / (time.monotonic() - line.began)
        value = result.get(self.metric)
        if value is not None:
            line.last = float(value)
            line.best = line.last if line.best is None else self.better(line.best, line.last)
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended by itself, which it has noted, or was stopped by the scheduler."""
        line = self._line(trial)
        folder = self.folder(line)
        line.state = outcome_of(folder) or ("left" if self.is_left else "stopped")
        if line.state == "failed":
            line.reason = reason_of(folder)
        if line.state == "stopped" and not self.budget_is_used_up():
            write_outcome(folder, line.state)
        self._show(always=True)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed."""
        line = self._line(trial)
        line.state = "failed"
        self._failed.append(trial)
        self._show(always=True)

    def explain(self) -> None:
        """Note why trials failed, once Ray Tune has stored it: in a line, of a `UserError` its words."""
        for trial in self._failed:
            error = _stored_error(trial)
            self._line(trial).reason = cause_of(error).rpartition("UserError: ")[2] if error else UNTOLD

    def folder(self, line: TrialLine) -> Location:
        """Of a trial's run."""
        return self.plan.run_folder(json.loads(line.point), line.seed)

    def must_stop(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether a trial ends with this result; Ray Tune asks after each."""
        return self.budget_is_used_up() or result.get(EPOCHS_DONE, 0) >= self.epochs

    def budget_is_used_up(self) -> bool:
        """Whether no more epochs may be trained."""
        most = self.plan.config.budget.epochs
        return most is not None and self._trained >= most

    def count(self, *states: str) -> int:
        """Trials in one of these states."""
        return sum(line.state in states for line in self.lines.values())

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._live:
            self._live.update(self._table())
            self._live.stop()

    def _line(self, trial: Any) -> TrialLine:
        if trial.trial_id not in self.lines:
            chosen = trial.config["trial"]
            point = start_of(self.plan, trial.trial_id) if self.plan.is_population else chosen["point"]
            self.lines[trial.trial_id] = TrialLine(spelled(point), chosen["seed"])
        return self.lines[trial.trial_id]

    def _show(self, *, always: bool = False) -> None:
        if self._live:
            self._live.update(self._table())
        elif always or time.monotonic() - self._said > PLAIN_INTERVAL:
            self._said = time.monotonic()
            tell(self._summary())

    def _summary(self) -> str:
        running = [f"{line.point} {line.epoch}/{self.epochs}" for line in self.lines.values() if line.state == "running"]
        done = self.count(*ENDED)
        best = max((line for line in self.lines.values() if line.best is not None), key=self._rank, default=None)
        shown = f"best {self.metric} {best.best:.4f} at {best.point}" if best else "no result yet"
        return f"sweep: {done}/{self.total} trials, {shown}, left {self._left()}; running: {'; '.join(running) or 'none'}"

    def _rank(self, line: TrialLine) -> float:
        value = line.best or 0.0
        return value if self.better is max else -value

    def _left(self) -> str:
        """Time that the remaining epochs take at the rate so far; early stops make it shorter."""
        if not self._trained:
            return "?"
        over = sum(self.epochs if line.state in ENDED else line.epoch for line in self.lines.values())
        seconds = (time.monotonic() - self._began) / self._trained * max(self.total * self.epochs - over, 0)
        return str(timedelta(seconds=round(seconds)))

    def _table(self) -> Table:
        table = Table(title=self._summary().split("; running")[0], title_justify="left")
        for column in ("point", "seed", "state", "epoch", "images/s", self.metric, "best"):
            table.add_column(column, justify="left" if column in ("point", "state") else "right")
        for line in self.lines.values():
            values = ["" if value is None else f"{value:.4f}" for value in (line.last, line.best)]
            table.add_row(
                line.point, str(line.seed), line.state, f"{line.epoch}/{self.epochs}", f"{line.images_per_second:,.0f}", *values
            )
        return table


def _stored_error(trial: Any) -> Any:
    """What a trial failed by, as Ray Tune has stored it; `None` where there is nothing, or no whole pickle."""
    try:
        return trial.get_pickled_error() or trial.get_error()
    except Exception:  # what is cut short raises what it likes
        return None
