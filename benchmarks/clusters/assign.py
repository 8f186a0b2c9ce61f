"""Rows a second that `quorum assign` labels, against a bare loop that reads, normalises, multiplies and takes the argmax.

Both read the same Parquet file from the page cache, in turn. The loop has as many threads as Ray has CPUs, and keeps nothing; the
command writes labels and similarities. Ray and its processes have started before, as they have when many rows are labelled.
Run from the repository's root: `python -m benchmarks.clusters.assign`.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.report import Comparison, Figure, cpu_seconds, median, new_parser, publish
from pipelines.curation.assign import assign
from pipelines.jobs.ray_cluster import connect

BATCH = 8192  # rows of a product in the loop
BARE, OURS = "bare loop", "quorum assign"


def write_rows(path: Path, options: argparse.Namespace) -> None:
    """Random rows with ids, group by group."""
    random = np.random.default_rng(0)
    schema = pa.schema({"id": pa.int64(), "embedding": pa.list_(pa.float32(), options.dim)})
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, options.rows, options.row_group):
            rows = random.standard_normal((min(options.row_group, options.rows - start), options.dim), np.float32)
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), options.dim)
            writer.write_table(pa.table([np.arange(start, start + len(rows)), vectors], schema), row_group_size=len(rows))


def bare(path: Path, centers: torch.Tensor) -> None:
    """Read, normalise, multiply, argmax."""
    file = pq.ParquetFile(path)
    for group in range(file.num_row_groups):
        column = file.read_row_group(group, columns=["embedding"])["embedding"].combine_chunks()
        rows = column.flatten().to_numpy().reshape(len(column), -1)
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        for batch in torch.from_numpy(rows).split(BATCH):
            (batch @ centers.T).max(dim=1)


def measure(path: Path, work: Path, options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """Seconds and CPU seconds of each side, in turn."""
    random = np.random.default_rng(1)
    centers = random.standard_normal((options.clusters, options.dim), np.float32)
    np.save(work / "centers.npy", centers)
    fixed = torch.from_numpy(centers / np.linalg.norm(centers, axis=1, keepdims=True))
    spent: dict[str, list[tuple[float, float]]] = {BARE: [], OURS: []}
    for repeat in range(options.repeats + 1):
        began, used = time.perf_counter(), cpu_seconds()
        bare(path, fixed)
        loop = time.perf_counter() - began, cpu_seconds() - used
        used = cpu_seconds()
        made = assign(str(work / "centers.npy"), str(path), str(work / "labels"))
        ours = options.rows / made.report["rows_per_second"], cpu_seconds() - used
        shutil.rmtree(work / "labels")
        if repeat:  # the first is for processes to start, and for the page cache
            spent[BARE].append(loop)
            spent[OURS].append(ours)
    return spent


def compare(options: argparse.Namespace, work: Path) -> Comparison:
    """Run both sides and set their medians side by side."""
    path = work / "rows.parquet"
    write_rows(path, options)
    connect("local", local_cpus=options.threads)
    torch.set_num_threads(options.threads)
    spent = measure(path, work, options)
    ratios = [loop[0] / ours[0] for loop, ours in zip(spent[BARE], spent[OURS], strict=True)]
    rows = [
        {"side": side, "rows/s": options.rows / median([s for s, _ in each]), "CPU s": median([cpu for _, cpu in each])}
        for side, each in spent.items()
    ]
    size = f"{options.rows:,} x {options.dim} in row groups of {options.row_group:,}, K = {options.clusters}"
    notes = [f"CPU time of the loop is {spent_ratio(spent):.2f} of the command's"]
    return Comparison(f"{size}, {options.threads} threads", rows, ratios, [Figure("assign", median(ratios), "x")], notes)


def spent_ratio(spent: dict[str, list[tuple[float, float]]]) -> float:
    """CPU seconds of the loop by those of the command, which a busy machine changes less than their rates."""
    return median([loop[1] / ours[1] for loop, ours in zip(spent[BARE], spent[OURS], strict=True)])


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--row-group", type=int, default=16_384)
    parser.add_argument("--threads", type=int, default=2, help="of the loop; Ray has as many CPUs, or those of the machine")
    parser.add_argument("--repeats", type=int, default=5)
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = command_line().parse_args()
    with ExitStack() as stack:
        publish(compare(options, Path(stack.enter_context(tempfile.TemporaryDirectory()))), options.json)


if __name__ == "__main__":
    main()
