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

STEADY = (0.5, 0.8)  # of an epoch: what was ready before it is used up, and what is ready at its end is not all there yet
IDLE = "ray::IDLE"  # what Ray calls a process that it keeps for the next task


@dataclass(frozen=True)
class Measured:
    """Figures of one side.

    Attributes:
        per_second: images, in a part of the last epoch.
        cpu_ms: of all its processes, an image, in the same time.
        first_of_job: seconds from the side's start to its first batch.
        first_of_epoch: seconds from the end of an epoch to the first batch of the next one, the median.
        megabytes: proportional memory of all its processes but Ray's idle ones, as that part ends.
        idle_megabytes: of these.
    """

    per_second: float
    cpu_ms: float
    first_of_job: float
    first_of_epoch: float
    megabytes: float
    idle_megabytes: float


def measure(start: Epoch, job: Job, began: float) -> Measured:
    """Run a side's epochs; it began at that time. Rates are of a part of the last one, in which as much is made as is taken."""
    batches, firsts = job.images // job.batch_size, list[float]()
    first, last = (int(share * batches) for share in STEADY)
    for number in range(1 + job.epochs):
        waiting = time.perf_counter() if number else began
        for step, _ in enumerate(start(number)):
            if step == 0:
                firsts.append(time.perf_counter() - waiting)
            if number == job.epochs and step == first:
                from_then, cpu = time.perf_counter(), cpu_seconds()
            if number == job.epochs and step == last:
                spent, cpu = time.perf_counter() - from_then, cpu_seconds() - cpu
                used, idle = _memory()  # takes a while, in which more is made than is taken
    rows = (last - first) * job.batch_size
    return Measured(rows / spent, 1e3 * cpu / rows, firsts[0], median(firsts[1:]), used, idle)


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
