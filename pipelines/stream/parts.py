"""A work in parts, each a Ray task anywhere on the cluster, or carried out by processes that stay where it takes a GPU.

On CPUs they are plain tasks: by Ray Data a million rows were labelled at three quarters of the rate
(`python -m benchmarks.clusters.passes --dims 64 --groups 16384`). Of a machine with few of them threads of this process do what
has torch loaded here already: two processes on two cores load it as long as they label a million rows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Protocol

import numpy as np
import ray

from pipelines.jobs.deaths import refusals_alone
from pipelines.jobs.ray_quirks.cluster import started_here
from pipelines.stream.cpus import own_cpus

Columns = dict[str, np.ndarray]
Task = Callable[[Columns], Iterator[Columns]]
AHEAD = 2  # parts that are handed out for each CPU: one that runs, and one that waits, by which a cluster knows to grow
FEW_CPUS = 4  # of a machine: threads of one process keep them busy
SHARING_A_GPU = 4  # processes of one, which read and write beside one another


def over_parts(
    count: int, task: Any, *, gpu: bool = False, threads: bool = False, known: Callable[[], Columns] = dict
) -> Iterator[Columns]:
    """What `task` yields for parts 0 to count - 1, in their order.

    Args:
        count: of the parts.
        task: called with columns of which `id` holds a part's number, yields columns; the same ones when it is called again,
            after a process or a node that died.
        gpu: whether it runs on GPUs; a few processes share each, and carry out part after part.
        threads: whether threads of this process may do it where Ray runs on this machine alone and has few CPUs: work of torch's,
            which this process has loaded.
        known: asked as a part is handed out for columns that it is called with besides: what results so far spare later parts.
            On GPUs, where all are handed out at once, nobody asks; a task does without.

    Raises:
        UserError: that a task met, without its stack.
    """
    if gpu:
        yield from _on_gpus(count, task)
        return
    coming = deque[Any]()
    with closing(_hands(task, threads=threads)) as hands:
        try:
            for number in range(count):
                coming.append(hands.begin({"id": np.array([number])} | known()))
                if len(coming) >= AHEAD * hands.count:
                    yield from hands.results(coming[0])
                    coming.popleft()
            while coming:
                yield from hands.results(coming[0])
                coming.popleft()
        finally:
            for each in coming:
                hands.stop(each)


def _hands(task: Task, *, threads: bool) -> _Hands:
    if not (threads and started_here() and own_cpus() <= FEW_CPUS):
        return _Processes(task)
    from pipelines.stream.part_threads import PartThreads

    return PartThreads(task, own_cpus())


class _Hands(Protocol):
    """Who carries out parts."""

    @property
    def count(self) -> int:
        """Parts at a time."""

    def begin(self, part: Columns) -> Any:
        """Hand out a part."""

    def results(self, begun: Any) -> Iterator[Columns]:
        """What it yields, as it comes."""

    def stop(self, begun: Any) -> None:
        """Nobody waits for it any more."""

    def close(self) -> None:
        """No more parts come."""


class _Processes:
    """Ray tasks."""

    def __init__(self, task: Task) -> None:
        options = {"num_cpus": 1, "num_returns": "streaming", "scheduling_strategy": "SPREAD", "name": type(task).__name__}
        self._run, self._task = ray.remote(carried_out).options(**options), ray.put(task)

    @property
    def count(self) -> int:
        return max(int(ray.cluster_resources().get("CPU", 1)), 1)

    def begin(self, part: Columns) -> Any:
        return self._run.remote(self._task, part)

    def results(self, begun: Any) -> Iterator[Columns]:
        for each in begun:
            with refusals_alone():
                columns = ray.get(each)
            yield columns

    def stop(self, begun: Any) -> None:
        ray.cancel(begun)

    def close(self) -> None:
        self._task = None


def carried_out(task: Task, part: Columns) -> Iterator[Columns]:
    """What a task yields for one part."""
    yield from task(part)


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
