"""scikit-learn's digits as shards, written without Ray."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import pyarrow as pa

from pipelines.datasets.image_shards import Dataset, Split
from pipelines.datasets.shard_files import SCHEMA, write_shard
from pipelines.files.location import Location
from pipelines.ingest.sources.digits import DigitsSource


def write_digits(
    folder: Path | str, rows: int, rows_per_shard: int, *, holes: Collection[int] = (), labelled: bool = True
) -> Dataset:
    """The first scans as the split `train`; ids in `holes` get no row."""
    source, location = DigitsSource(), Location.of(folder)
    (location / "train").make()
    classes, samples = source.listing().classes, source.listing().samples[:rows]
    shards, counts = [], [0] * len(classes)
    for index, start in enumerate(range(0, rows, rows_per_shard)):
        ids = [i for i in range(start, min(start + rows_per_shard, rows)) if i not in holes]
        for i in ids:
            counts[samples[i].label] += 1
        columns = {
            "id": ids,
            "image": [source.read(samples[i].key) for i in ids],
            "label": [samples[i].label if labelled else None for i in ids],
            "split": ["train"] * len(ids),
            "source": [samples[i].key for i in ids],
        }
        table = pa.table(columns, schema=SCHEMA)
        shards.append(write_shard(location, f"train/part-{index:05d}.parquet", table, {"split": "train"}))
    split = Split(rows, shards, counts if labelled else [])
    dataset = Dataset(location, "digits", classes, {"train": split}, len(holes))
    dataset.save()
    return dataset


def write_named(folder: Path, sources: Sequence[str], labels: Sequence[int], classes: Sequence[str]) -> Dataset:
    """Scans under other source names, with ids in their order, as the split `train`; no labels for no labels at all."""
    source, location = DigitsSource(), Location.of(folder)
    (location / "train").make()
    rows = len(sources)
    columns = {
        "id": list(range(rows)),
        "image": [source.read(str(i)) for i in range(rows)],
        "label": list(labels) or [None] * rows,
        "split": ["train"] * rows,
        "source": list(sources),
    }
    shard = write_shard(location, "train/part-00000.parquet", pa.table(columns, schema=SCHEMA), {"split": "train"})
    counts = [list(labels).count(label) for label in range(len(classes))] if labels else []
    dataset = Dataset(location, folder.name, list(classes), {"train": Split(rows, [shard], counts)}, 0)
    dataset.save()
    return dataset
