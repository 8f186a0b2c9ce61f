"""Settings of this process's Ray Data pipelines: ordered, small blocks, quiet, and considerate of the training thread."""

from __future__ import annotations

import ray.data

from pipelines.jobs.ray_quirks import Breather

BLOCK_BYTES = 16 << 20


def configure_ray_data(pipelines: int | None = None) -> None:
    """Apply the settings to this process.

    Args:
        pipelines: that share the cluster's object store; default: as many as were told before, or this one alone.
    """
    context = ray.data.DataContext.get_current()
    context.execution_options.preserve_order = True
    context.target_max_block_size = BLOCK_BYTES
    context.enable_progress_bars = False
    context.enable_operator_progress_bars = False
    context.print_on_execution_start = False
    if pipelines is not None or context.override_object_store_memory_limit_fraction is None:
        context.override_object_store_memory_limit_fraction = 0.5 / (pipelines or 1)
    context.custom_execution_callback_classes = [Breather]
