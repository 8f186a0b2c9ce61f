"""The sweep on the screen: one line a trial, refreshed; and each trial's end in the record."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.live import Live
from rich.table import Table

from tune.space import identity

PLAIN_INTERVAL = 10.0  # seconds between lines where the output is no terminal


@dataclass
class Line:
    """What is known of a trial."""

    point: str
    seed: int
    state: str = "waiting"
    epoch: int = 0
    images_per_second: float = 0.0
    last: float | None = None
    best: float | None = None
    reason: str = ""


class Board(Callback):
    """Follows trials through Ray Tune's callbacks, which run in the sweep's own process.

    Args:
        metric: that decides.
        mode: `max` or `min`.
        epochs: of a trial.
        total: trials that will be made.
    """

    def __init__(self, metric: str, mode: str, epochs: int, total: int) -> None:
        self.metric, self.better, self.epochs, self.total = metric, max if mode == "max" else min, epochs, total
        self.lines: dict[str, Line] = {}
        self._failed: list[Any] = []
        self._began = self._said = time.monotonic()
        self._trained = 0  # epochs that took time: replayed ones do not tell how long the rest will take
        self._live = Live(console=Console(stderr=True), refresh_per_second=2) if sys.stderr.isatty() else None
        if self._live:
            self._live.start()

    def __getstate__(self) -> dict[str, Any]:
        """Without the terminal: Ray Tune stores its callbacks beside the sweep."""
        return vars(self) | {"_live": None, "_failed": []}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins."""
        self._line(trial).state = "running"
        self._show()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        """An epoch of a trial is over."""
        line = self._line(trial)
        line.epoch = int(result.get("epoch", line.epoch)) + 1
        self._trained += 0 if result.get("replayed") else 1
        line.images_per_second = result.get("images_seen", 0.0) / max(result.get("time_total_s", 0.0), 1e-9)
        value = result.get(self.metric)
        if value is not None:
            line.last = float(value)
            line.best = line.last if line.best is None else self.better(line.best, line.last)
        self._show()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended by itself or was stopped by the scheduler."""
        line = self._line(trial)
        line.state = "finished" if line.epoch >= self.epochs else "stopped"
        self._show(always=True)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial failed."""
        self._line(trial).state = "failed"
        self._failed.append(trial)
        self._show(always=True)

    def explain(self) -> None:
        """Note why trials failed, once Ray Tune has stored it: the last line of what was raised, of a `UserError` its words."""
        for trial in self._failed:
            error = trial.get_pickled_error() or trial.get_error()
            said = [text for text in str(error or "").splitlines() if text.strip()] or [type(error).__name__]
            self._line(trial).reason = said[-1].rpartition("UserError: ")[2].strip()

    @property
    def finished(self) -> int:
        """Trials that got to their end, or were stopped on their way by the scheduler."""
        return sum(line.state in ("finished", "stopped") for line in self.lines.values())

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._live:
            self._live.update(self._table())
            self._live.stop()

    def _line(self, trial: Any) -> Line:
        chosen = trial.config["trial"]
        return self.lines.setdefault(trial.trial_id, Line(identity(chosen["point"]), chosen["seed"]))

    def _show(self, *, always: bool = False) -> None:
        if self._live:
            self._live.update(self._table())
        elif always or time.monotonic() - self._said > PLAIN_INTERVAL:
            self._said = time.monotonic()
            print(self._summary(), file=sys.stderr, flush=True)

    def _summary(self) -> str:
        running = [f"{line.point} {line.epoch}/{self.epochs}" for line in self.lines.values() if line.state == "running"]
        done = sum(line.state in ("finished", "stopped", "failed") for line in self.lines.values())
        best = max((line for line in self.lines.values() if line.best is not None), key=self._rank, default=None)
        shown = f"best {self.metric} {best.best:.4f} at {best.point}" if best else "no result yet"
        return f"sweep: {done}/{self.total} trials, {shown}, left {self._left()}; running: {'; '.join(running) or 'none'}"

    def _rank(self, line: Line) -> float:
        value = line.best or 0.0
        return value if self.better is max else -value

    def _left(self) -> str:
        """Time that the remaining epochs take at the rate so far; early stops make it shorter."""
        if not self._trained:
            return "?"
        over = sum(self.epochs if line.state in ("finished", "stopped", "failed") else line.epoch for line in self.lines.values())
        seconds = (time.monotonic() - self._began) / self._trained * max(self.total * self.epochs - over, 0)
        return time.strftime("%H:%M:%S", time.gmtime(seconds))

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
