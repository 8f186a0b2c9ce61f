"""What each command made, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from pipelines.secrets import hidden

if TYPE_CHECKING:
    import pandas as pd

    from quorum.clustering import Clustering
    from quorum.comparing import Comparison
    from quorum.data import DataSet, LabelChoice
    from quorum.scoring import Embeddings
    from quorum.training import Run


def show_ingest(made: DataSet) -> None:
    """The splits of a data set, and how many files could not be read."""
    dataset = made.dataset
    table = Table(title=f"{dataset.name}  {made.path}  fingerprint {dataset.fingerprint}", title_justify="left")
    for column in ("split", "images", "shards", "MB", "labels"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for name, split in dataset.splits.items():
        size = sum(shard.bytes for shard in split.shards) / 1e6
        known = f"{len(dataset.classes)} classes" if split.labelled else "none"
        table.add_row(name, f"{split.rows:,}", str(len(split.shards)), f"{size:,.1f}", known)
    Console().print(table)
    if dataset.quarantined:
        print(f"{dataset.quarantined} unreadable files are listed in {dataset.location}/quarantine.parquet")


def show_labels(chosen: LabelChoice) -> None:
    """How many labels were chosen, by which rule."""
    selection, counts = chosen.selection, chosen.counts
    each = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    print(f"{chosen.path}: {len(selection.ids)} labels of {len(selection.classes)} classes, {each} a class ({selection.rule})")


def show_pretrain(run: Run) -> None:
    """Where a run and its record are, and what chose its best checkpoint."""
    print(hidden(f"run {run.path}  (MLflow: {run.tracking_uri}, run {run.run_id})"))
    print(run.choice)


show_semisup = show_pretrain


def show_evaluate(scores: pd.Series) -> None:
    """Name and value of each score."""
    table = Table(title=str(scores.name), title_justify="left")
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in scores.items():
        table.add_row(str(name), f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}")
    Console().print(table)


def show_embed(made: Embeddings) -> None:
    """How many embeddings were written."""
    print(f"{made.path}: {made.rows:,} embeddings of {made.dim} numbers")


def show_export(said: str) -> None:
    """How the file is loaded."""
    print(said)


def show_cluster(made: Clustering) -> None:
    """What a clustering came to, a line a head."""
    report = made.report
    table = Table(title=f"{made.path}  {report['rows']:,} rows of {report['dim']} numbers", title_justify="left")
    columns: tuple[str, ...] = ("clusters", "minimum", "smallest", "largest", "below_minimum", "mean_similarity")
    columns += tuple(name for name in ("moved", "mean_optimality_gap") if name in report["heads"][0])  # of exact sizes
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for head in report["heads"]:
        values = (head[column] for column in columns)
        table.add_row(*(f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for value in values))
    Console().print(table)
    print(hidden(f"labels, centers, sizes and report.json: {made.path}"))


def show_compare(made: Comparison, *, sizes: bool = False) -> None:
    """The table of settings, and what can be said of it."""
    from tune.comparison.tables import show

    show(made.compared, sizes=sizes)


show_sweep = show_compare


def show_recipes(listed: pd.DataFrame) -> None:
    """A line a recipe."""
    table = Table(box=None)
    for column in ("name", "command", "what it is for"):
        table.add_column(column)
    for name, recipe in listed.iterrows():
        table.add_row(str(name), recipe["command"], recipe["about"])
    Console().print(table)
    print(f"files, to copy and change: {Path(listed['path'].iloc[0]).parent}")
