"""`quorum cluster --levels` against a flat clustering of as many clusters, at equal passes: similarity, sizes, rows a second.

Run from the repository's root: `python -m benchmarks.clusters.levels`; some five minutes on two cores.
`python -m benchmarks.clusters.levels --rows 1000000 --levels 1000 100 --no-flat` is a clustering that no flat one comes near.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.clustering import mixture
from benchmarks.report import Figure, new_parser, parse
from benchmarks.runs.cluster_job import write_vectors
from benchmarks.runs.command import quorum

COLUMNS = ("clusters", "mean_similarity", "minimum", "smallest", "maximum", "largest", "moved")


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--lumps", type=int, default=300, help="of power-law sizes, in random directions: nothing groups them")
    parser.add_argument("--levels", type=int, nargs=2, default=[60, 50])
    parser.add_argument("--passes", type=int, default=5, help="of the flat clustering, and of each level")
    parser.add_argument("--max-size-ratio", type=float, default=2.0)
    parser.add_argument("--no-flat", action="store_true", help="leave the flat clustering out")
    return parser


def main() -> None:
    """Write the rows, cluster them both ways, compare."""
    options = parse(command_line())
    clusters = math.prod(options.levels)
    ways = {"levels": ["--levels", str(options.levels)], "flat": ["--num-clusters", str(clusters)]}
    if options.no_flat:
        del ways["flat"]
    table, similarity, off = Table("", *COLUMNS, "rows/s", "labels/s", "s"), dict[str, float](), 0
    with tempfile.TemporaryDirectory() as folder:
        vectors = write_vectors(Path(folder) / "vectors", mixture(options.rows, options.dim, options.lumps))
        given = ["--passes", str(options.passes), "--max-size-ratio", str(options.max_size_ratio)]
        for name, words in ways.items():
            quorum("cluster", "--data", str(vectors), "--to", f"{folder}/{name}", *given, *words)
            report = json.loads(Path(folder, name, "report.json").read_text())
            (head,) = report["heads"]
            table.add_row(*cells(name, head, report))
            similarity[name] = head["mean_similarity"]
            off += head["below_minimum"] + head["above_maximum"]
        off += parents_off(Path(folder) / "levels")
    Console().print(table)
    Figure("levels_off_bounds", off, "clusters and parents").tell()
    if "flat" in similarity:
        Figure("levels_to_flat_similarity", 100 * (similarity["levels"] / similarity["flat"] - 1), "%").tell()


def cells(name: str, head: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """Of a way, in the order of the columns."""
    values = [head[column] for column in COLUMNS] + [
        report[each] for each in ("rows_per_second", "label_rows_per_second", "seconds")
    ]
    return [name, *(f"{value:,.4f}" if 0 < value < 1 else f"{value:,.0f}" for value in values)]


def parents_off(run: Path) -> int:
    """Parents of a run that are out of their bounds."""
    parents = pq.read_table(run / "parents.parquet")
    rows, least, most = (parents[name].to_numpy() for name in ("rows", "minimum", "maximum"))
    return int(((rows < least) | (rows > most)).sum())


if __name__ == "__main__":
    main()
