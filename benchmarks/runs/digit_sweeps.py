"""Sweeps over the digits: eight short trials, and ASHA against the full grid of the same points.

Run from the repository's root: `python -m benchmarks.runs.digit_sweeps`; some half hour on two cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace

from benchmarks.report import Figure, new_parser, parse
from benchmarks.runs.command import quorum
from pipelines.config.recipe import read_recipe
from tune.comparison.compare import compare
from tune.comparison.comparison import Comparison
from tune.search.sweep_config import SweepConfig
from tune.trials.sweep import sweep


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, table=False)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the grid and of ASHA")
    return parser


def main() -> None:
    """Run the three sweeps one after another."""
    seeds = parse(command_line()).seeds
    with tempfile.TemporaryDirectory() as folder:
        quorum("ingest", "digits", "--to", f"{folder}/digits")
        began = time.monotonic()
        swept("digits", folder, {})
        Figure("sweep_minutes", (time.monotonic() - began) / 60, "min").tell()
        asha = swept("digits_asha", folder, {"seeds": seeds})
        grid = swept("digits_asha", folder, {"seeds": seeds, "scheduler.name": "none", "name": "digits-grid"})
    spent = [sum(line.images for line in side.lines) for side in (asha, grid)]
    found = next(line for line in grid.lines if line.point == asha.lines[0].point)
    Figure("asha_images", 100 * spent[0] / spent[1], "%").tell()
    Figure("asha_score", mean_score(found) / mean_score(grid.lines[0]), "x").tell()


def swept(recipe: str, folder: str, settings: dict[str, object]) -> Comparison:
    """Run a sweep of the recipes to its end and compare its runs."""
    config = read_recipe(recipe, SweepConfig, {"storage": folder, **settings})
    config = replace(config, settings={**config.settings, "data": f"{folder}/digits"})
    parent = sweep(config)
    return compare([parent.run_id], parent.uri, to=f"{folder}/compared-{config.name}")


def mean_score(line: object) -> float:
    """Mean of a setting's scores over its seeds."""
    scores = [row.value for _, row in line.runs if row is not None]
    return sum(scores) / len(scores)


if __name__ == "__main__":
    main()
