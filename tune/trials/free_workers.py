"""Trials of several workers leave nothing behind: what a driver that was stopped or died had reserved is freed for the next."""

from __future__ import annotations

import time
from typing import Any

from ray.tune import Callback

from pipelines.jobs.ray_quirks.cluster import free_orphans

INTERVAL = 1.0  # seconds between two looks
PATIENCE = 20.0  # seconds that drivers may take to be gone after the last trial


class FreeWorkers(Callback):
    """Looks all along, through Ray Tune's callbacks, because a driver may be gone before anything was heard of it."""

    def __init__(self) -> None:
        self._looked = 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Free what drivers that are gone have left behind."""
        if time.monotonic() - self._looked > INTERVAL:
            self._looked = time.monotonic()
            free_orphans()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Free the rest as the last drivers go: another sweep of this process would wait for it for ever."""
        end = time.monotonic() + PATIENCE
        while free_orphans() and time.monotonic() < end:
            time.sleep(0.1)
