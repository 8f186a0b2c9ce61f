"""What an epoch's end costs the instance memory: seconds of the exchange, and memory of a node, in processes without images.

Each worker observes its share of an epoch, of as many steps as a training has, in the order of permuted row groups; then all
exchange. Once its workers share a node, and once each has a node of its own and sends the others what it saw over the loopback.

python -m benchmarks.scale.exchange --instances 100000000
"""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from rich.console import Console
from rich.table import Table
from torch import Tensor

from algos.distributed.collectives import counts_of_workers
from algos.distributed.nodes import Node
from algos.methods.instance_memory import InstanceMemory
from benchmarks.report import Figure, command, machine, new_parser, parse

RATE = 50_000  # images a second of the epoch that the exchange is compared with
CLUSTERS = 5000
GROUP_ROWS = 32  # of a row group of large images
WINDOW_ROWS = 4096  # that are shuffled together
LOOKED_AT = 1_000_000  # instances whose labels are checked
LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """What is exchanged, by how many workers on how many nodes."""

    instances: int
    heads: int
    workers: int
    nodes: int
    batch_size: int


@dataclass(frozen=True)
class Cost:
    """Of the exchange: seconds, and of a CPU those of the busiest worker.

    Of all processes: bytes of the tables, of these and all that was observed, and at the most.
    """

    seconds: float
    cpu_seconds: float
    tables: float
    observed: float
    peak: float


def main() -> None:
    """Exchange on one node and on several, and print what it took."""
    options = parse(new_parser(__doc__, table=False, instances=100_000_000, heads=3, workers=2, batch_size=1024))
    title = f"{options.instances:,} instances, {options.heads} heads, {options.workers} workers"
    table = Table(
        title=f"{title}; shares of an epoch at {RATE:,} images/s; bytes of a node for an instance", title_justify="left"
    )
    for column in ("nodes", "seconds", "share", "CPU seconds", "share", "tables", "and what was observed", "peak"):
        table.add_column(column, justify="right")
    costs = {}
    for nodes in sorted({1, options.workers}):
        job = Job(options.instances, options.heads, options.workers, nodes, options.batch_size)
        cost = costs[nodes] = measure(job)
        times = ((f"{seconds:.1f}", f"{share(job, seconds):.2%}") for seconds in (cost.seconds, cost.cpu_seconds))
        sizes = (f"{size / nodes / job.instances:.1f}" for size in (cost.tables, cost.observed, cost.peak))
        table.add_row(str(nodes), *itertools.chain(*times), *sizes)
    console = Console(width=130, highlight=False)
    console.print(table)
    console.print(", ".join(f"{key} {value}" for key, value in machine().items()))
    console.print(command(), soft_wrap=True)
    Figure("exchange_share", 100 * share(job, costs[1].seconds), "%").tell()
    Figure("exchange_share_cpu", 100 * share(job, costs[1].cpu_seconds), "%").tell()
    Figure("node_memory", costs[1].tables / job.instances, "bytes").tell()


def share(job: Job, seconds: float) -> float:
    """Of an epoch, that so many seconds take."""
    return seconds * RATE / job.instances


def measure(job: Job) -> Cost:
    """The cost of one exchange in processes of their own."""
    context = mp.get_context("spawn")
    told: Any = context.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        processes = [context.Process(target=_work, args=(rank, job, folder, told)) for rank in range(job.workers)]
        for process in processes:
            process.start()
        watch = Watch(processes)
        stages, sizes = dict[str, list[tuple[float, ...]]](), dict[str, int]()
        for name in ("begun", "made", "observed", "exchanged"):
            stages[name] = [_next(told, processes) for _ in range(job.workers)]
            sizes[name] = watch.look()
            for rank in range(job.workers):
                Path(folder, f"{name}-{rank}").touch()
        for process in processes:
            process.join()
        watch.close()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a worker failed")
    base, (seconds, cpu_seconds) = sizes["begun"], map(max, zip(*stages["exchanged"], strict=True))
    return Cost(seconds, cpu_seconds, sizes["made"] - base, sizes["observed"] - base, watch.peak - base)


def _next(told: Any, processes: list[BaseProcess]) -> tuple[float, ...]:
    """What one of the workers tells next.

    Raises:
        RuntimeError: when one of them has failed, because the others then wait for it.
    """
    while told.empty():
        if any(process.exitcode for process in processes):
            for process in processes:
                process.kill()
            raise RuntimeError("a worker failed")
        time.sleep(LOOK_SECONDS)
    values: tuple[float, ...] = told.get()
    return values


class Watch:
    """Looks at the memory of processes now and then, each page counted once."""

    def __init__(self, processes: list[BaseProcess]) -> None:
        self.peak, self._processes, self._ended = 0, processes, threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)
        self._thread.start()

    def look(self) -> int:
        """Bytes at present."""
        size = sum(_share_of_pages(process.pid) for process in self._processes)
        self.peak = max(self.peak, size)
        return size

    def close(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()


def _share_of_pages(process: int | None) -> int:
    try:
        return int(psutil.Process(process).memory_full_info().pss)
    except psutil.Error:  # it has ended
        return 0


def _work(rank: int, job: Job, folder: str, told: Any) -> None:
    """One worker; at each stage it tells, and waits until it has been looked at."""

    def tell(name: str, *values: float) -> None:
        told.put(values)
        while not Path(folder, f"{name}-{rank}").exists():
            time.sleep(0.01)
        counts_of_workers(0)

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=job.workers)
    node = Node.meet(str(rank * job.nodes // job.workers))
    tell("begun")
    memory = InstanceMemory(job.instances, job.heads, node=node)
    tell("made")
    for ids in steps(rank, job):
        memory.observe(ids, labels=labels_of(ids, job.heads))
    tell("observed")
    began, used = time.perf_counter(), time.process_time()
    memory.exchange()
    tell("exchanged", time.perf_counter() - began, time.process_time() - used)
    looked_at = torch.randint(job.instances // GROUP_ROWS * GROUP_ROWS, (LOOKED_AT,))
    if not torch.equal(memory.lookup(looked_at, torch.device("cpu")), labels_of(looked_at, job.heads)):
        raise RuntimeError("labels are not those that were observed")
    dist.destroy_process_group()


def steps(rank: int, job: Job) -> Iterator[Tensor]:
    """Ids of a worker's rows of each step."""
    groups = np.random.default_rng(0).permutation(job.instances // GROUP_ROWS)
    mine, random = np.array_split(groups, job.workers)[rank], np.random.default_rng(rank)
    for first in range(0, len(mine), WINDOW_ROWS // GROUP_ROWS):
        some = mine[first : first + WINDOW_ROWS // GROUP_ROWS]
        rows = (some[:, None] * GROUP_ROWS + np.arange(GROUP_ROWS)).reshape(-1)
        yield from torch.from_numpy(random.permutation(rows)).split(job.batch_size // job.workers)


def labels_of(ids: Tensor, heads: int) -> Tensor:
    """Labels (heads, B) that instances are given: a function of their ids, to be checked."""
    return (ids + 7 * torch.arange(heads)[:, None]) % CLUSTERS


if __name__ == "__main__":
    main()
