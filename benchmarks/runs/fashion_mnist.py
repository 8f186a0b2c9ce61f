"""CoKe on Fashion-MNIST against the untrained network: kNN, the smallest cluster, and the time between two epochs.

Run from the repository's root: `python -m benchmarks.runs.fashion_mnist`; some ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.report import Figure, new_parser, parse
from benchmarks.runs.command import figures, quorum, score

RECIPE = "coke_fashion_mnist"


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, table=False)
    parser.add_argument("--source", default="/usr/share/datasets/fashion-mnist", help="folder of the four IDX files")
    parser.add_argument("--epochs", type=int, default=6)
    return parser


def main() -> None:
    """Ingest, train, score the trained and the untrained network."""
    options = parse(command_line())
    with tempfile.TemporaryDirectory() as folder:
        shards, run = f"{folder}/shards", Path(folder) / "coke"
        quorum("ingest", options.source, "--to", shards)
        given = ["--config", RECIPE, "--data", shards, "--storage", folder, "--name", run.name]
        quorum("pretrain", *given, "--epochs", str(options.epochs), "--monitor.knn_epochs", str(options.epochs))
        gain = score(run, "knn_top1") - score(run, "knn_top1", "--untrained")
        Figure("fashion_knn_gain", gain, "share").tell()
        Figure("fashion_smallest_cluster", min(figures(run, "smallest_to_minimum")[-2:]), "x").tell()
        Figure("fashion_epoch_gap", max(figures(run, "epoch_gap")), "s").tell()


if __name__ == "__main__":
    main()
