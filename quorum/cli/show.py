"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection


def show_dataset(dataset: Dataset) -> None:
    """What an ingest wrote."""
    table = Table(title=f"{dataset.name}  {dataset.location}  fingerprint {dataset.fingerprint}", title_justify="left")
    for column in ("split", "images", "shards", "MB", "labels"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for name, split in dataset.splits.items():
        size = sum(shard.bytes for shard in split.shards) / 1e6
        labels = f"{len(dataset.classes)} classes" if split.labelled else "none"
        table.add_row(name, f"{split.rows:,}", str(len(split.shards)), f"{size:,.1f}", labels)
    Console().print(table)
    if dataset.quarantined:
        Console().print(f"{dataset.quarantined} unreadable files are listed in {dataset.location}/quarantine.parquet")


def show_selection(selection: Selection, place: str) -> None:
    """What was chosen."""
    counts = np.bincount(selection.labels, minlength=len(selection.classes))
    each = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    print(f"{place}: {len(selection.ids)} labels of {len(selection.classes)} classes, {each} a class ({selection.rule})")


def show_scores(title: str, scores: Mapping[str, float]) -> None:
    """Name and value of each score."""
    table = Table(title=title, title_justify="left")
    table.add_column("score")
    table.add_column("value", justify="right")
    for name, value in scores.items():
        table.add_row(name, f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4f}")
    Console().print(table)


def show_clustering(place: str, report: Mapping[str, Any]) -> None:
    """What a clustering of embeddings came to, a line for each head."""
    table = Table(title=f"{place}  {report['rows']:,} rows of {report['dim']} numbers", title_justify="left")
    columns = ("clusters", "minimum", "smallest", "largest", "below_minimum", "mean_similarity")
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    for head in report["heads"]:
        values = (head[column] for column in columns)
        table.add_row(*(f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" for value in values))
    Console().print(table)
