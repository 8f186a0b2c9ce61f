"""`quorum cluster` at size: one worker against two, then exact sizes, then with a maximum of twice the mean.

Run from the repository's root: `python -m benchmarks.runs.cluster_job`; some eight minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

from benchmarks.clustering import mixture
from benchmarks.report import Figure, new_parser, parse
from benchmarks.runs.command import quorum

FILES = 8


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=1000)
    parser.add_argument("--batch-size", type=int, default=8192)
    return parser


def main() -> None:
    """Write the rows, cluster them twice, repair one of the two."""
    options = parse(command_line())
    with tempfile.TemporaryDirectory() as folder:
        vectors = write_vectors(Path(folder) / "vectors", mixture(options.rows, options.dim, options.clusters))
        given = ["--num-clusters", str(options.clusters), "--passes", "2", "--batch-size", str(options.batch_size)]
        runs = {workers: f"{folder}/workers-{workers}" for workers in (1, 2)}
        for workers, run in runs.items():
            quorum("cluster", "--data", str(vectors), "--to", run, *given, "--workers", str(workers), "--no-exact")
        differ = int((labels(runs[1]) != labels(runs[2])).sum())
        quorum("cluster", "--resume", runs[1], "--exact")
        (head,) = json.loads(Path(runs[1], "report.json").read_text())["heads"]
        quorum("cluster", "--data", str(vectors), "--to", f"{folder}/bounded", *given, "--max-size-ratio", "2")
        (bounded,) = json.loads(Path(folder, "bounded", "report.json").read_text())["heads"]
    Figure("cluster_workers_differ", differ, "rows").tell()
    Figure("cluster_exact_rows_missing", head["rows_missing"], "rows").tell()
    Figure("cluster_largest", bounded["largest"] / (2 * options.rows / options.clusters), "x").tell()
    Figure("cluster_exact_gap", 100 * head["mean_optimality_gap"] / head["mean_similarity"], "%").tell()


def write_vectors(folder: Path, rows: np.ndarray) -> Path:
    """Files of short row groups, as `quorum embed` writes them; returns the folder."""
    folder.mkdir()
    for number, part in enumerate(np.array_split(rows, FILES)):
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(part.reshape(-1)), rows.shape[1])
        pq.write_table(pa.table({"embedding": vectors}), folder / f"part-{number}.parquet", row_group_size=8192)
    return folder


def labels(run: str) -> np.ndarray:
    """Labels (n,) of a clustering, in the order of the rows."""
    return pyarrow.dataset.dataset(f"{run}/labels").to_table(columns=["label_head0"])["label_head0"].to_numpy()


if __name__ == "__main__":
    main()
