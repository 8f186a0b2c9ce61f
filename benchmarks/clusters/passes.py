"""Passes and labels of `quorum cluster` against a bare loop over the same files, whatever their row groups.

The bare loop reads Parquet, normalises, takes product, argmax and float64 sums, with as many threads as the machine has cores.
The job's processes are watched: their largest proportional set size (PSS), and what they read.
Run from the repository's root: `python -m benchmarks.clusters.passes`; some ten minutes on two cores.
`python -m benchmarks.clusters.passes --dims 64 --groups 16384 --rows 200000` is one case.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.clustering import mixture
from benchmarks.report import Figure, new_parser, parse
from benchmarks.runs.command import figures
from pipelines.tracking.figures import ROWS_PER_SECOND

BATCH = 8192
WAIT_SECONDS, LOOK_EVERY, SELDOM = 0.1, 5, 10  # waits a look at the processes, and before the first step: a look takes its time
COLUMNS = ("case", "bare rows/s", "pass", "ratio", "labels", "ratio", "task MB", "worker MB", "GB read", "s to first step")


@dataclass
class Watched:
    """One process of a job: bytes read, and its PSS when it was first seen and at its largest."""

    idle: float
    peak: float = 0.0
    read: int = 0
    worker: bool = False


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of 64 numbers; a sixth of it of 768")
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 768])
    parser.add_argument("--groups", type=int, nargs="+", default=[1000, 16_384, 1_000_000], help="rows of a row group")
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--passes", type=int, default=3)
    return parser


def main() -> None:
    """Each case in turn."""
    options = parse(command_line())
    table = Table(*COLUMNS)
    worst, starts = dict.fromkeys(("pass", "label"), np.inf), dict[tuple[int, int], float]()
    for dim in options.dims:
        rows = mixture(options.rows if dim <= 64 else options.rows // 6, dim, options.clusters)
        for group in options.groups:
            with tempfile.TemporaryDirectory() as folder:
                write_rows(Path(folder) / "rows.parquet", rows, group)
                bare = bare_rate(Path(folder) / "rows.parquet", options.clusters)
                rates, seen, first = run_job(folder, options)
            ratios = {name: rate / bare for name, rate in rates.items()}
            worst = {name: min(worst[name], ratio) for name, ratio in ratios.items()}
            starts[dim, group] = first
            table.add_row(*cells(f"{len(rows):,} x {dim} in {group:,}", bare, rates, ratios, seen, first))
    Console().print(table)
    for name, ratio in worst.items():
        Figure(f"{name}_rate", ratio, "x").tell()
    Figure("cluster_start", starts[options.dims[0], sorted(options.groups)[len(options.groups) // 2]], "s").tell()


def cells(
    case: str, bare: float, rates: dict[str, float], ratios: dict[str, float], seen: list[Watched], first: float
) -> list[str]:
    """Of a case, in the order of the columns."""
    tasks, workers = ([f"{p.peak:.0f} (+{p.peak - p.idle:.0f})" for p in largest(seen, worker)] for worker in (False, True))
    rated = (f"{each:,.2f}" if each < 10 else f"{each:,.0f}" for name in rates for each in (rates[name], ratios[name]))
    return [case, f"{bare:,.0f}", *rated, *tasks, *workers, f"{sum(p.read for p in seen) / 1e9:.2f}", f"{first:.1f}"]


def largest(seen: list[Watched], worker: bool) -> list[Watched]:
    """The process that grew most, of workers or of the others."""
    return sorted((each for each in seen if each.worker is worker), key=lambda each: each.peak - each.idle)[-1:]


def write_rows(file: Path, rows: np.ndarray, group: int) -> None:
    """One file of float32 vectors."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    pq.write_table(pa.table({"embedding": vectors}), file, row_group_size=group)


def bare_rate(file: Path, clusters: int) -> float:
    """Rows a second of the bare loop, the better of two."""
    return max(_bare(file, clusters) for _ in range(2))


def _bare(file: Path, clusters: int) -> float:
    rows = pq.ParquetFile(file)
    dim = rows.schema_arrow.field(0).type.list_size
    centers = torch.nn.functional.normalize(torch.randn(clusters, dim), dim=1)
    sums = torch.zeros(clusters, dim, dtype=torch.float64)
    began = time.monotonic()
    for batch in rows.iter_batches(BATCH, columns=["embedding"]):
        numbers = batch.column(0).flatten().to_numpy().reshape(-1, dim)
        unit = torch.from_numpy(numbers / np.linalg.norm(numbers, axis=1, keepdims=True))
        labels = (unit @ centers.T).max(dim=1).indices
        sums.index_add_(0, labels, unit.double())
    return rows.metadata.num_rows / (time.monotonic() - began)


def run_job(folder: str, options: argparse.Namespace) -> tuple[dict[str, float], list[Watched], float]:
    """Rows a second of the last pass and of the labels, the processes, and seconds to the first sign of a step."""
    words = [
        "cluster", "--data", folder + "/rows.parquet", "--to", folder + "/run", "--num-clusters", str(options.clusters),
        "--passes", str(options.passes), "--batch-size", str(BATCH),
    ]  # fmt: skip
    began, first = time.monotonic(), 0.0
    with subprocess.Popen([sys.executable, "-m", "quorum", *words], stdout=subprocess.DEVNULL) as process:
        seen: dict[int, Watched] = {}
        for turn in itertools.takewhile(lambda _: process.poll() is None, itertools.count()):
            if turn % (LOOK_EVERY if first else SELDOM) == 0:
                look(psutil.Process(process.pid), seen)
            if (
                not first
                and (journal := Path(folder, "run", "journal.jsonl")).exists()
                and ROWS_PER_SECOND in journal.read_text()
            ):
                first = time.monotonic() - began
            time.sleep(WAIT_SECONDS)
    if process.returncode:
        raise SystemExit(f"quorum cluster ended with exit code {process.returncode}")
    run = Path(folder, "run")
    rates = {
        "pass": figures(run, ROWS_PER_SECOND)[-1],
        "label": json.loads((run / "report.json").read_text())["label_rows_per_second"],
    }
    return rates, list(seen.values()), first


def look(job: psutil.Process, seen: dict[int, Watched]) -> None:
    """Note what the job's processes hold and have read."""
    try:
        processes = job.children(recursive=True)
    except psutil.Error:
        return
    for process in processes:
        try:
            name = " ".join(process.cmdline())
            if "ray::" not in name or os.path.basename(name).startswith("raylet"):
                continue
            pss, read = process.memory_full_info().pss / 2**20, process.io_counters().read_chars
        except psutil.Error:
            continue
        mine = seen.setdefault(process.pid, Watched(idle=pss))
        mine.peak, mine.read, mine.worker = max(mine.peak, pss), read, mine.worker or "RayTrainWorker" in name


if __name__ == "__main__":
    main()
