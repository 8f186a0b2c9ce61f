"""Optuna's proposals, told the best value of each trial, whenever that came."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import optuna
from ray.tune.search.optuna import OptunaSearch

from tune.trials.unwritten import Unwritten


class Proposals(OptunaSearch):
    """Ray Tune's Optuna searcher reads the metric of every result, and judges a trial by its last one.

    Here a score may be due every few epochs only, and a comparison judges by the best.

    Args:
        failed: whether the trial of this point, that ended without an error, has failed nevertheless.
        options: of the searcher.
    """

    def __init__(self, failed: Callable[[dict[str, Any]], bool], **options: Any) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # else it tells of each study that it makes, here of two
        warnings.filterwarnings("ignore", "Choices for a categorical distribution")  # lists, which a study in memory takes
        super().__init__(**options)
        self._failed = Unwritten(failed)  # Ray Tune stores its searcher beside the sweep
        self._chosen: dict[str, dict[str, Any]] = {}
        self._best: dict[str, float] = {}

    def suggest(self, trial_id: str) -> Any:
        """Remember what is proposed."""
        proposed = super().suggest(trial_id)
        if isinstance(proposed, dict):
            self._chosen[trial_id] = proposed["trial"]["point"]  # only what is searched is proposed
        return proposed

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Pass on what has the metric."""
        value = result.get(self.metric)
        if value is not None:
            better = max if self.mode == "max" else min
            self._best[trial_id] = better(float(value), self._best.get(trial_id, float(value)))
            super().on_trial_result(trial_id, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the best value, or that there is none that counts."""
        best, chosen = self._best.pop(trial_id, None), self._chosen.pop(trial_id, None)
        error = error or (chosen is not None and self._failed()(chosen))
        told = None if error or best is None else {**(result or {}), self.metric: best}
        super().on_trial_complete(trial_id, told, error)
