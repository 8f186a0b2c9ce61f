"""Rows a second of the stream against decoding and cropping alone, on as many processes.

The baseline has the encoded rows of an epoch in the memory of a pool of processes, and drops the pixels that the stream's own
code makes of them; the stream reads the rows, too, and brings the pixels to the worker, in order, as batches: uint8 crops, and
also as training takes them on a CPU, as normalised floats. Run from the repository's root: `python -m benchmarks.stream`.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from multiprocessing.pool import Pool
from pathlib import Path

import pyarrow as pa

from benchmarks.images.host_side import Rate, epochs, host_epochs, open_stream, plain_views, rate, units_of, window_reader
from benchmarks.images.photos import photo_options, photo_shards
from benchmarks.report import Comparison, Figure, median, parse, publish
from pipelines.datasets.image_shards import Dataset
from pipelines.jobs.ray_cluster import connect
from pipelines.stream.epoch_order import StreamShape
from pipelines.stream.images.crop_maker import CropMaker

BARE, HOST, FLOAT = "decode and crop alone", "stream, uint8 crops", "stream, normalised floats"


@functools.lru_cache(maxsize=1)
def units(folder: str, options: tuple[int, ...]) -> tuple[CropMaker, list[pa.Table]]:
    """What the tasks that decode get of an epoch, and what they do with it; read once by a process of the pool."""
    batch_size, lanes, window, size, views = options
    stream = open_stream(Dataset.open(folder), StreamShape(batch_size, lanes, window), plain_views(size, views))
    reader = window_reader(stream, 0)
    return reader.maker, list(units_of(reader))


def make_crops(job: tuple[str, tuple[int, ...], int]) -> int:
    """Decode and crop one unit, or none, in a process of the pool; the pixels go nowhere."""
    folder, options, number = job
    finish, tables = units(folder, options)
    return sum(len(block["id"]) for block in finish(tables[number])) if number >= 0 else len(tables)


def pool_epochs(pool: Pool, folder: str, options: tuple[int, ...], count: int) -> Iterator[int]:
    """Rows of each unit of some epochs, after an empty batch that marks the start: the pool has no start-up to leave out."""
    numbers = range(make_crops((folder, options, -1)))
    yield 0
    yield from pool.imap_unordered(make_crops, [(folder, options, number) for _ in range(count) for number in numbers])


def measure(sides: dict[str, Callable[[int, int], Iterator[int]]], repeats: int, count: int, ahead: int) -> dict[str, list[Rate]]:
    """Rates of each side, all sides in turn in every repetition, `count` new epochs a time.

    All but the first side run `ahead` batches ahead of what they have handed over.
    """
    rates: dict[str, list[Rate]] = {side: [] for side in sides}
    for repeat in range(repeats):
        for index, (side, run) in enumerate(sides.items()):
            rates[side].append(rate(functools.partial(run, repeat * count, count), ahead if index else 0))
            print(f"  {side}: {rates[side][-1].per_second:,.0f} rows/s", flush=True)
    return rates


def compare(options: argparse.Namespace, pool: Pool, work: Path) -> Comparison:
    """Run the sides in turn; the ratio is of each repetition's own rates."""
    shape = StreamShape(options.batch_size, options.lanes, options.window)
    stream = open_stream(photo_shards(work, options.images), shape, plain_views(options.size, options.views))
    job = str(stream.source.dataset.location), (options.batch_size, options.lanes, options.window, options.size, options.views)
    sum(pool_epochs(pool, *job, count=1))  # the pool's processes import and read
    rates = measure(
        {
            BARE: lambda first, count: pool_epochs(pool, *job, count),
            HOST: lambda first, count: host_epochs(stream, first, count),
            FLOAT: lambda first, count: epochs(stream, first, count),
        },
        options.repeats, options.epochs, options.processes,
    )  # fmt: skip
    ratios = {
        side: [ours.per_second / bare.per_second for ours, bare in zip(rates[side], rates[BARE], strict=True)] for side in rates
    }
    rows = [
        {
            "side": side,
            "rows/s": median([one.per_second for one in measured]),
            "CPU ms/row": median([one.cpu_ms for one in measured]),
            "s to first batch": "-" if side == BARE else f"{median([one.first for one in measured]):.2f}",
            "ratio": median(ratios[side]),
        }
        for side, measured in rates.items()
    ]
    cold = f"first batch of the job after {rates[HOST][0].first:.1f} s"
    crops = f"{options.images:,} JPEGs to {options.views} x {options.size} px"
    title = f"{crops}, batch {options.batch_size}, {options.processes} processes"
    note = f"{options.epochs} epochs a repetition; {cold}; the ratio is that of the uint8 crops"
    return Comparison(title, rows, ratios[HOST], [Figure("stream", median(ratios[HOST]), "x")], [note])


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    return photo_options(__doc__, epochs="in a repetition", processes="of the pool; Ray gets as many CPUs")


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    with ExitStack() as stack:
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(options.processes))
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        connect("local", local_cpus=options.processes)
        publish(compare(options, pool, work), options.json)


if __name__ == "__main__":
    main()
