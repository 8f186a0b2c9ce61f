"""This process's Ray Data pipelines: ordered, small blocks, quiet, and considerate of the training thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import ray.data

from pipelines.jobs.deaths import refusals_alone
from pipelines.jobs.ray_quirks.data import Breather, leaves_no_definitions, notices_sooner

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
    notices_sooner()
    leaves_no_definitions()


def numbered(count: int) -> ray.data.Dataset:
    """A data set of blocks with one number each, `id` from 0 to count - 1, that no task has to make."""
    return ray.data.from_arrow([pa.table({"id": [number]}) for number in range(count)])


def batches_of(rows: ray.data.Dataset, **options: Any) -> Iterator[dict[str, np.ndarray]]:
    """A Ray Data set's batches; what a task refuses comes as the refusal alone.

    Args:
        rows: the data set.
        options: of its `iter_batches`.

    Raises:
        UserError: that a task met, without its stack.
    """
    with refusals_alone():
        yield from rows.iter_batches(**options)
