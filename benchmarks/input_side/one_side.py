"""One side in a process of its own: rates, CPU time, memory and what its first batches wait for, as a line of JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks.input_side.job import Epoch, Job
from benchmarks.input_side.sides import SIDES
from benchmarks.report import cpu_seconds, median

IDLE = "ray::IDLE"  # what Ray calls a process that it keeps for the next task


@dataclass(frozen=True)
class Measured:
    """Figures of one side.

    Attributes:
        per_second: images, from the end of the first epoch to the end of the last.
        cpu_ms: of all its processes, an image, in the same time.
        first_of_job: seconds from the side's start to its first batch.
        first_of_epoch: seconds from the end of an epoch to the first batch of the next one, the median.
        megabytes: proportional memory of all its processes but Ray's idle ones, in the middle of the last epoch.
        idle_megabytes: of these.
    """

    per_second: float
    cpu_ms: float
    first_of_job: float
    first_of_epoch: float
    megabytes: float
    idle_megabytes: float


def measure(start: Epoch, job: Job, began: float) -> Measured:
    """Run a side's epochs; it began at that time."""
    batches = job.images // job.batch_size
    firsts, used, idle = list[float](), 0.0, 0.0
    rows, from_then, cpu = 0, 0.0, 0.0
    for number in range(1 + job.epochs):
        waiting = time.perf_counter() if number else began
        if number == 1:
            from_then, cpu, rows = waiting, cpu_seconds(), 0
        for step, size in enumerate(start(number)):
            if step == 0:
                firsts.append(time.perf_counter() - waiting)
            rows += size
            if number == job.epochs and step == batches // 2:
                used, idle = _memory()
    spent = time.perf_counter() - from_then
    return Measured(rows / spent, 1e3 * (cpu_seconds() - cpu) / rows, firsts[0], median(firsts[1:]), used, idle)


def _memory() -> tuple[float, float]:
    """MB of this process and all below it, shared memory divided among them: those that work, and Ray's idle ones."""
    sums = {False: 0.0, True: 0.0}
    for title, size in _sizes():
        sums[title.startswith(IDLE)] += size
    return sums[False], sums[True]


def _sizes() -> Iterator[tuple[str, float]]:
    mine = psutil.Process()
    for process in [mine, *mine.children(recursive=True)]:
        try:
            yield " ".join(process.cmdline()[:1]), process.memory_full_info().pss / 1e6
        except psutil.NoSuchProcess:  # it ended meanwhile
            continue


def main() -> None:
    """`python -m benchmarks.input_side.one_side NAME JOB`, the job as JSON."""
    name, told = sys.argv[1:]
    given = json.loads(told)
    job = Job(**given | {"work": Path(given["work"])})
    began = time.perf_counter()
    print(json.dumps(asdict(measure(SIDES[name].start(job), job, began))), flush=True)


if __name__ == "__main__":
    main()
