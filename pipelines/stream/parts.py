"""A work in parts, each a Ray task anywhere on the cluster, or carried out by processes that stay where it takes a GPU.

On CPUs they are plain tasks: by Ray Data a million rows were labelled at three quarters of the rate
(`python -m benchmarks.clusters.passes --dims 64 --groups 16384`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import ray

from pipelines.jobs.deaths import refusals_alone

Columns = dict[str, np.ndarray]
AHEAD = 2  # parts that are handed out for each CPU: one that runs, and one that waits, by which a cluster knows to grow
SHARING_A_GPU = 4  # processes of one, which read and write beside one another


def over_parts(count: int, task: Any, *, gpu: bool = False, known: Callable[[], Columns] = dict) -> Iterator[Columns]:
    """What `task` yields for parts 0 to count - 1, in their order.

    Args:
        count: of the parts.
        task: called with columns of which `id` holds a part's number, yields columns; the same ones when it is called again,
            after a process or a node that died.
        gpu: whether it runs on GPUs; a few processes share each, and carry out part after part.
        known: asked as a part is handed out for columns that it is called with besides: what results so far spare later parts.
            On GPUs, where all are handed out at once, nobody asks; a task does without.

    Raises:
        UserError: that a task met, without its stack.
    """
    if gpu:
        yield from _on_gpus(count, task)
        return
    run, shared, coming = _part(task), ray.put(task), deque[Any]()
    try:
        for number in range(count):
            coming.append(run.remote(shared, {"id": np.array([number])} | known()))
            if len(coming) >= AHEAD * _cpus():
                yield from _results(coming[0])
                coming.popleft()
        while coming:
            yield from _results(coming[0])
            coming.popleft()
    finally:
        for each in coming:
            ray.cancel(each)


def _part(task: Any) -> Any:
    """The remote function that carries out a part."""
    options = {"num_cpus": 1, "num_returns": "streaming", "scheduling_strategy": "SPREAD", "name": type(task).__name__}
    return ray.remote(carried_out).options(**options)


def carried_out(task: Any, part: Columns) -> Iterator[Columns]:
    """What a task yields for one part."""
    yield from task(part)


def _results(part: Any) -> Iterator[Columns]:
    """What a part yields, as it comes."""
    for each in part:
        with refusals_alone():
            columns = ray.get(each)
        yield columns


def _cpus() -> int:
    """Of the cluster as it is now."""
    return max(int(ray.cluster_resources().get("CPU", 1)), 1)


def _on_gpus(count: int, task: Any) -> Iterator[Columns]:
    """Ray ends a process after one task that takes a GPU, and the next would load torch and CUDA again; Ray Data's actors stay.

    They ask for no CPU: a pool that had all of them would wait for ever for its input. Ray fills one GPU before the next, so few
    parts share less. GPUs that come while it works are for the next call: Ray Data gave them no actor, whatever the pool's limit.
    """
    import ray.data

    from pipelines.stream.ray_data import batches_of, configure_ray_data, numbered

    configure_ray_data()
    gpus = max(1, int(ray.cluster_resources().get("GPU", 0)))
    sharing = min(SHARING_A_GPU, -(-count // gpus))
    mapped = numbered(count).map_batches(
        _Staying, fn_constructor_args=(task,), batch_size=1, num_cpus=0, num_gpus=1 / sharing,
        compute=ray.data.ActorPoolStrategy(size=min(count, sharing * gpus)),
    )  # fmt: skip
    yield from batches_of(mapped, batch_size=None)


class _Staying:
    """A Ray Data actor that carries out a task part by part."""

    def __init__(self, task: Any) -> None:
        self.task = task

    def __call__(self, batch: Columns) -> Iterator[Columns]:
        yield from self.task(batch)
