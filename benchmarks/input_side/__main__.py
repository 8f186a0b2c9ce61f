"""Images a second that the CPUs of a GPU training must bring: Quorum's host side beside the loaders that people use.

Quorum's tasks decode and crop to uint8 through Ray; colour, blur and flip run on the device and are no work of the CPUs. Each
peer runs with what its documentation shows, and with our crop function; the way that takes least CPU time counts. Same JPEGs,
same cores, every measurement in a process of its own, all sides in turn. Peers that are not installed are named and left out:
`pip install 'quorum-kmeans[bench]'`. Run from the repository's root: `python -m benchmarks.input_side`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.images.photos import photo_options
from benchmarks.input_side.job import Job
from benchmarks.input_side.one_side import Measured
from benchmarks.input_side.sides import LOADER, OURS, RECIPE, SIDES, STREAMING
from benchmarks.report import Comparison, Figure, median, parse, publish

Runs = dict[str, list[Measured]]
COLUMNS = {
    "images/s": "per_second",
    "CPU ms/image": "cpu_ms",
    "first batch of the job, s": "first_of_job",
    "of an epoch, s": "first_of_epoch",
    "MB": "megabytes",
    "idle MB": "idle_megabytes",
}


def run(name: str, job: Job) -> Measured:
    """One measurement, in a process that nothing of the sides before it is in."""
    told = json.dumps(asdict(job) | {"work": str(job.work)})
    command = [sys.executable, "-m", "benchmarks.input_side.one_side", name, told]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def middle(runs: Runs, name: str, key: str) -> float:
    """The median of a figure of a side."""
    return median([getattr(one, key) for one in runs[name]])


def best(runs: Runs, peer: str) -> str:
    """The way of a peer that takes least CPU time."""
    return min((name for name in runs if SIDES[name].peer == peer), key=lambda name: middle(runs, name, "cpu_ms"))


def figures(runs: Runs) -> list[Figure]:
    """What ours comes to, and beside the best way of each peer; by CPU time, which other programs disturb less."""
    found = [
        Figure("input_side", middle(runs, OURS, "per_second") / middle(runs, RECIPE, "per_second"), "x"),
        Figure("first_batch_of_job", middle(runs, OURS, "first_of_job"), "s"),
        Figure("first_batch_of_epoch", middle(runs, OURS, "first_of_epoch"), "s"),
        Figure("input_memory", middle(runs, OURS, "megabytes") / middle(runs, best(runs, LOADER), "megabytes"), "x"),
    ]
    peers = {SIDES[name].peer for name in runs} - {SIDES[OURS].peer}
    least = {peer: middle(runs, best(runs, peer), "cpu_ms") / middle(runs, OURS, "cpu_ms") for peer in peers}
    if STREAMING in least:
        found.append(Figure("input_side_streaming", least[STREAMING], "x"))
        found.append(Figure("input_side_fastest", min(least.values()), "x"))
    return found


def compare(job: Job, repeats: int) -> Comparison:
    """All sides that are installed, in turn; the ratio is of CPU time, the fastest peer's to ours."""
    here = {name: side for name, side in SIDES.items() if side.is_installed}
    for side in here.values():
        side.prepare(job)
    runs: Runs = {name: [] for name in here}
    for _ in range(repeats):
        for name in here:
            runs[name].append(run(name, job))
            print(f"  {name}: {runs[name][-1].per_second:,.0f} images/s, {runs[name][-1].cpu_ms:.2f} CPU ms", flush=True)
    rows: list[dict[str, str | float]] = [
        {"side": name} | {column: middle(runs, name, key) for column, key in COLUMNS.items()} for name in here
    ]
    peers = [best(runs, peer) for peer in {SIDES[name].peer for name in here} - {SIDES[OURS].peer}]
    fastest = min(peers, key=lambda name: middle(runs, name, "cpu_ms"))
    ratios = [theirs.cpu_ms / ours.cpu_ms for ours, theirs in zip(runs[OURS], runs[fastest], strict=True)]
    crops = f"{job.images:,} JPEGs to {job.views} x {job.size} px"
    title = f"{crops}, batch {job.batch_size}, {job.processes} processes, {job.epochs} epochs after the first"
    notes = [f"the ratio is the CPU time an image of {fastest} to ours"]
    if missing := sorted({side.peer for side in SIDES.values() if not side.is_installed}):
        notes.append(f"not installed: {', '.join(missing)}")
    return Comparison(title, rows, ratios, figures(runs), notes)


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    return photo_options(
        __doc__ or "", epochs="that are measured, after a first one", processes="that decode; Ray gets as many CPUs"
    )


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        told = {name: getattr(options, name) for name in Job.__dataclass_fields__ if name != "work"}
        publish(compare(Job(work.resolve(), **told), options.repeats), options.json)


if __name__ == "__main__":
    main()
