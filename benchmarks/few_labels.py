"""How well a few labels do: supervised only, FixMatch, ProtoCon, and ProtoCon from a CoKe backbone, over label seeds.

    python -m benchmarks.few_labels --recipe protocon_digits --data data/digits --per-class 4 10 --seeds 1 2 3 \
        --init-from outputs/demo

Every run is a run of `quorum semisup` with its own folder and MLflow record. A run that is already finished is not repeated.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from pathlib import Path
from statistics import mean, stdev

from rich.console import Console
from rich.table import Table

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import SemisupConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import choose_per_class
from pipelines.errors import UserError
from pipelines.jobs.ray_cluster import connect
from pipelines.runs.run_folder import RUN_FILE
from pipelines.tracking.figures import ACCURACY_EMA, EPOCH, TEST, score
from pipelines.tracking.journal import read_journal
from pipelines.training.launch import train

FIXMATCH: dict[str, object] = {
    "method.refine_from": 1_000_000, "method.alignment": "none", "method.targets": "hard", "method.prototype_weight": 0,
    "method.consistency_weight": 0, "method.confidence_threshold": 0.95,
}  # fmt: skip
METHODS: dict[str, dict[str, object]] = {
    "supervised": {**FIXMATCH, "method.unlabelled_weight": 0},
    "fixmatch": FIXMATCH,
    "protocon": {},
}
LAST = 3  # epochs whose mean is the result: no choice of the best epoch on the test images


def main() -> None:
    """Run what is missing and print the table."""
    options = parse()
    connect("local", local_cpus=2)
    dataset = Dataset.open(options.data)
    methods = METHODS | ({"protocon from coke": {"init_from": options.init_from}} if options.init_from else {})
    variants = {name: methods[name] for name in options.methods or methods}
    for name in options.ablate:
        key, _, value = name.partition("=")
        variants[name] = {f"method.{key}": value}
    table = Table(
        title=f"{dataset.name}, {options.recipe}: test accuracy of the averaged weights, mean of the last {LAST} epochs"
    )
    for column in ("labels a class", "method", *(f"seed {seed}" for seed in options.seeds), "mean", "deviation"):
        table.add_column(column, justify="left" if column == "method" else "right")
    for per_class in options.per_class:
        for name, settings in variants.items():
            found = [accuracy(options, dataset, per_class, seed, name, settings) for seed in options.seeds]
            spread = f"{stdev(found):.3f}" if len(found) > 1 else ""
            table.add_row(str(per_class), name, *(f"{value:.3f}" for value in found), f"{mean(found):.3f}", spread)
    Console(width=160).print(table)


def accuracy(
    options: argparse.Namespace, dataset: Dataset, per_class: int, seed: int, name: str, settings: Mapping[str, object]
) -> float:
    """Accuracy of one run, made now unless it is there."""
    labels = f"{options.data.rstrip('/')}-labels/per-class-{per_class}-seed-{seed}.json"
    choose_per_class(dataset, "train", per_class, seed).save(labels)
    short = "".join(letter if letter.isalnum() else "-" for letter in name)
    digest = hashlib.sha256(repr((options.recipe, settings, options.set)).encode()).hexdigest()[:6]
    folder = Path(options.storage) / f"{dataset.name}-{short}-{per_class}-{seed}-{digest}"
    given = {"data": options.data, "labels": labels, "storage": options.storage, "name": folder.name, "seed": seed}
    given["monitor.split"] = TEST  # the score that is reported; nothing is chosen by it
    more = dict(text.split("=", 1) for text in options.set)
    config = read_recipe(options.recipe, SemisupConfig, {**given, **settings, **more})
    if not finished(folder, config.epochs):
        if (folder / RUN_FILE).exists():
            raise UserError(f"{folder} holds a run that did not finish; go on with it (quorum semisup --resume) or remove it")
        train(config)
    return mean(series(folder, score(TEST, ACCURACY_EMA))[-LAST:])


def series(folder: Path, name: str) -> list[float]:
    """Values of a figure of the run in a folder."""
    return [entry["values"][name] for entry in read_journal(folder) if name in entry.get("values", {})]


def finished(folder: Path, epochs: int) -> bool:
    """Whether the run in a folder got to its last epoch."""
    if not (folder / RUN_FILE).exists():
        return False
    done = series(folder, EPOCH)
    return bool(done) and max(done) + 1 == epochs


def parse() -> argparse.Namespace:
    """Options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--per-class", type=int, nargs="+", default=[4, 10])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "protocon from coke"], default=None)
    parser.add_argument("--ablate", nargs="*", default=[], help="further settings of ProtoCon, as refine_weight=0.6")
    parser.add_argument("--init-from", default=None, help="a CoKe run of the same backbone")
    parser.add_argument("--storage", default="outputs/few-labels")
    parser.add_argument("--set", nargs="*", default=[], help="keys of the recipe for all runs, as epochs=5")
    options = parser.parse_args()
    if "protocon from coke" in (options.methods or []) and not options.init_from:
        parser.error("'protocon from coke' needs --init-from")
    return options


if __name__ == "__main__":
    main()
