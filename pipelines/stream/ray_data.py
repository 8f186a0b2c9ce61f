"""Settings of this process's Ray Data pipelines: ordered, small blocks, quiet, and considerate of the training thread."""

from __future__ import annotations

import time
from typing import Any

import ray.data

BLOCK_BYTES = 16 << 20
PAUSE = 0.02  # seconds


class Breather:
    """Pauses Ray Data's scheduling loop between its rounds.

    The loop runs in the consumer's process and does not wait while its output is full: without a pause it held the interpreter
    and training fell to a quarter of its rate (Ray 2.60). A task takes longer than a round, so nothing starts noticeably later.
    """

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to do."""

    def on_execution_step(self, executor: Any) -> None:
        """Let others run."""
        time.sleep(PAUSE)

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to do."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to do."""


def configure_ray_data(pipelines: int = 1) -> None:
    """Apply the settings to this process; `pipelines` like it share the cluster's object store."""
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    context.override_object_store_memory_limit_fraction = 0.5 / pipelines
    context.custom_execution_callback_classes = [Breather]
