"""The `quorum` command whole: the pipelines' commands, and those over many runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pipelines import cli
from pipelines.recipe import new_parser, parse


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `quorum`."""
    cli.main(arguments, COMMANDS)


def compare(words: Sequence[str]) -> None:
    """Compare runs: the best setting, what is noise, what it cost."""
    parser = new_parser("compare", "Compare runs kept in MLflow: which setting is best, by how much beyond noise, at what cost.")
    parser.add_argument(
        "targets", type=str, nargs="+", help="experiments, run ids (a sweep's stands for its trials), run folders"
    )
    parser.add_argument(
        "--metric", type=str | None, default=None, help="figure to compare; default: the sweep's, else accuracy_ema or knn_top1"
    )
    parser.add_argument(
        "--mode",
        type=Literal["max", "min"] | None,
        default=None,
        help="default: the sweep's, else min for losses and max for others",
    )
    parser.add_argument(
        "--uri", type=str | None, default=None, help="of MLflow; default: MLFLOW_TRACKING_URI, or outputs/mlflow.db"
    )
    parser.add_argument("--to", type=str | None, default=None, help="folder of the results; default: outputs/comparison-NAME")
    parser.add_argument("--sizes", action="store_true", help="add the minimum cluster size, the smallest and the largest cluster")
    options = parse(parser, words)

    from tune.compare import compare as run
    from tune.tables import show

    compared = run(options.targets, options.uri, options.metric, options.mode, options.to)
    show(compared, sizes=options.sizes)


COMMANDS: dict[str, cli.Command] = {**cli.COMMANDS, "compare": compare}
