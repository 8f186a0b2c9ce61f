"""This process's Ray Data pipelines: ordered, small blocks, quiet, and considerate of the training thread."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import ray.data
import ray.exceptions

from pipelines.errors import UserError
from pipelines.jobs.ray_quirks.data import Breather

BLOCK_BYTES = 16 << 20
SHARING_A_GPU = 4  # workers of one, which read and write beside one another
RAYS_ADVICE = re.compile(r"\s+Failed to .* after \d+/\d+ attempts .*", re.DOTALL)  # that it adds to what a task raises


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


def over_parts(count: int, task: Any, *, gpu: bool = False) -> Iterator[dict[str, np.ndarray]]:
    """What `task` yields for parts 0 to count - 1, as it comes: each part is one Ray Data task, anywhere on the cluster.

    Args:
        count: of the parts.
        task: called with a batch whose column `id` holds part numbers.
        gpu: whether it runs on GPUs; a few processes share each, and carry out part after part.

    Raises:
        UserError: that a task met, without its stack.
    """
    configure_ray_data()
    numbers = ray.data.range(count, override_num_blocks=count)
    mapped = _on_gpus(numbers, count, task) if gpu else numbers.map_batches(task, batch_size=1)
    yield from batches_of(mapped, batch_size=None)


def batches_of(rows: ray.data.Dataset, **options: Any) -> Iterator[dict[str, np.ndarray]]:
    """A Ray Data set's batches; what a task refuses comes as the refusal alone.

    Args:
        rows: the data set.
        options: of its `iter_batches`.

    Raises:
        UserError: that a task met, without its stack.
    """
    try:
        yield from rows.iter_batches(**options)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise UserError(RAYS_ADVICE.sub("", str(error.cause))) from None
        raise


def _on_gpus(numbers: ray.data.Dataset, count: int, task: Any) -> ray.data.Dataset:
    """Ray ends a process after one task that takes a GPU, and the next would load torch and CUDA again; actors stay.

    They ask for no CPU: a pool that had all of them would wait for ever for its input. Ray fills one GPU before the next, so few
    parts share less. GPUs that come while it works are for the next call: Ray Data gave them no actor, whatever the pool's limit.
    """
    gpus = max(1, int(ray.cluster_resources().get("GPU", 0)))
    sharing = min(SHARING_A_GPU, -(-count // gpus))
    return numbers.map_batches(
        _Staying, fn_constructor_args=(task,), batch_size=1, num_cpus=0, num_gpus=1 / sharing,
        compute=ray.data.ActorPoolStrategy(size=min(count, sharing * gpus)),
    )  # fmt: skip


class _Staying:
    """A Ray Data actor that carries out a task part by part."""

    def __init__(self, task: Any) -> None:
        self.task = task

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        yield from self.task(batch)


def share_of_a_cpu() -> float:
    """CPUs to ask Ray for, for each of many tasks that keep one busy: a little less than one.

    A node has one such task more than it has CPUs for them, where a training worker has one too, so that none is idle while Ray
    hands out the next: on two cores a quarter more images a second.
    """
    largest = max(_cpus_of_nodes())
    return math.floor(1e4 * max(largest - 1, 2) / max(largest, 3)) / 1e4  # as fine as Ray counts


def cpus_of_each(tasks: int) -> int:
    """CPUs that the threads of each of so many tasks may use where these have the cluster to themselves, on any of its nodes.

    Ray is asked for one: for more, a task might wait for ever beside another job.
    """
    nodes = _cpus_of_nodes()
    return max(1, min(*nodes, sum(nodes) // tasks))


def _cpus_of_nodes() -> list[int]:
    """CPUs of each node that has some."""
    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return [cpus for cpus in found if cpus] or [1]
