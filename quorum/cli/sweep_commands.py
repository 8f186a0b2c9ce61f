"""The `quorum` command whole: the pipelines' commands, and those over many runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import yaml
from jsonargparse import ActionConfigFile

from pipelines.config.recipe import check_recipe, instantiate, new_parser, option_value, parse
from pipelines.errors import UserError
from quorum.cli import commands as cli

RESUMABLE = ("budget.", "concurrent", "seeds", "tracking.uri")  # what a resumed sweep may change


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of `quorum`."""
    cli.main(arguments, COMMANDS)


def sweep(words: Sequence[str]) -> None:
    """Search n, gamma, alpha, K or any other key with many runs."""
    from tune.search.sweep_config import SweepConfig

    parser = new_parser("sweep", "Search any keys of a recipe with many runs, each a child of one MLflow run.")
    parser.add_argument("--config", action=ActionConfigFile, help="a sweep's recipe, as those in recipes/sweeps")
    parser.add_argument("--resume", type=str | None, default=None, help="folder of a sweep to go on with")
    parser.add_argument("--set", type=list[str], default=[], help="KEY=VALUE of the base recipe, for all trials; may be repeated")
    parser.add_argument(
        "--address", type=str | None, default=None, help="of a Ray cluster; default: RAY_ADDRESS, or this machine"
    )
    parser.add_class_arguments(SweepConfig, nested_key=None)
    if resume := option_value("--resume", words):
        words = _resumed(words, resume)
    words = ["--set+" if word == "--set" else word for word in words]  # as the parser spells what is added to a list
    if recipe := option_value("--config", words):
        check_recipe(recipe, SweepConfig)
    options = parse(parser, words)
    config = instantiate(parser, options, SweepConfig)
    config = replace(config, settings=config.settings | dict(_setting(text) for text in options.set))

    from tune.comparison.compare import compare as compare_runs
    from tune.comparison.tables import show
    from tune.trials.sweep import sweep as run

    address = run(config, address=options.address, resume=bool(options.resume))
    show(compare_runs([address.run_id], address.uri, None, None, None), sizes=False)


def _resumed(words: Sequence[str], folder: str) -> list[str]:
    """The words of a resume after those that give the sweep's own configuration."""
    from tune.trials.sweep import files_of

    if option_value("--config", words):
        raise UserError("--resume takes the sweep's own configuration; leave out --config")
    cli.check_overrides(words, RESUMABLE)
    location, config, base = files_of(folder)
    return ["--config", config, "--recipe", base, "--storage", str(location.parent), "--name", location.name, *words]


def _setting(text: str) -> tuple[str, Any]:
    key, found, value = text.partition("=")
    if not found:
        raise UserError(f"--set {text!r} has no value; give KEY=VALUE, as --set epochs=6")
    return key, yaml.safe_load(value)


def compare(words: Sequence[str]) -> None:
    """Compare runs: the best setting, what is noise, what it cost."""
    parser = new_parser("compare", "Compare runs kept in MLflow: which setting is best, by how much beyond noise, at what cost.")
    parser.add_argument(
        "targets", type=str, nargs="+", help="experiments, run ids (a sweep's stands for its trials), run folders"
    )
    parser.add_argument(
        "--metric",
        type=str | None,
        default=None,
        help="figure to compare; default: the sweep's, else a score on the test split",
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

    from tune.comparison.compare import compare as run
    from tune.comparison.tables import show

    compared = run(options.targets, options.uri, options.metric, options.mode, options.to)
    show(compared, sizes=options.sizes)


COMMANDS: dict[str, cli.Command] = {**cli.COMMANDS, "sweep": sweep, "compare": compare}
