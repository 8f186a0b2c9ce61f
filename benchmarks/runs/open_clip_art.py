"""CoKe on Open Clip Art against the untrained network, seed by seed: kNN and linear probe on test images.

Run from the repository's root: `python -m benchmarks.runs.open_clip_art`; some eight minutes a seed on two cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.report import Comparison, Figure, new_parser, parse, publish
from benchmarks.runs.command import quorum, score

RECIPE, SCORES = "coke_openclipart", ("knn_top1", "linear_top1")
TAKEN = ("--short-side", "64", "--max-pixels", "700000000", "--holdout", "0.1", "--val", "0.1")


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--source", default="/usr/share/openclipart/png", help="folder of the package openclipart-png")
    parser.add_argument("--seeds", type=int, default=5)
    return parser


def main() -> None:
    """Ingest once; train with each seed, score the trained and the untrained network."""
    options = parse(command_line())
    rows: list[dict[str, str | float]] = []
    gains: dict[str, list[float]] = {name: [] for name in SCORES}
    with tempfile.TemporaryDirectory() as folder:
        quorum("ingest", options.source, *TAKEN, "--to", f"{folder}/shards")
        for seed in range(options.seeds):
            run = Path(folder) / f"seed-{seed}"
            given = ["--config", RECIPE, "--data", f"{folder}/shards", "--storage", folder, "--name", run.name]
            quorum("pretrain", *given, "--seed", str(seed))
            row: dict[str, str | float] = {"seed": seed}
            for name in SCORES:
                row[name], row[f"{name} untrained"] = score(run, name), score(run, name, "--untrained")
                gains[name].append(float(row[name]) - float(row[f"{name} untrained"]))
            rows.append(row)
    means = [Figure(f"clip_art_{name}_gain", statistics.mean(found), "share") for name, found in gains.items()]
    least = Figure("clip_art_least_gain", min(min(found) for found in gains.values()), "share")
    publish(Comparison("CoKe on Open Clip Art", rows, [1.0], [*means, least]), options.json)


if __name__ == "__main__":
    main()
