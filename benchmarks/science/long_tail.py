"""A long-tailed selection of a data set: training classes from `--most` images down to `--ratio` times fewer, geometrically.

Writes Parquet for `quorum ingest`. Of each class the first rows are taken as the shards have them; test and val stay whole.
Run from the repository's root: `python -m benchmarks.science.long_tail data/fashion-mnist-10k --to long-tail`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.datasets.image_shards import Dataset, shard_file


def tail_sizes(classes: int, most: int, ratio: float) -> list[int]:
    """Images of each class: `most` of the first, `most / ratio` of the last."""
    return [round(most * ratio ** (-number / max(classes - 1, 1))) for number in range(classes)]


def first_of_each(labels: np.ndarray, sizes: list[int]) -> np.ndarray:
    """Which rows are among the first `sizes[c]` of their class c, (R,) bool."""
    chosen = np.zeros(len(labels), bool)
    for label, size in enumerate(sizes):
        rows = np.flatnonzero(labels == label)
        if not 1 <= size <= len(rows):
            raise SystemExit(f"class {label} has {len(rows)} images, {size} are wanted; lower --{'most' if size else 'ratio'}")
        chosen[rows[:size]] = True
    return chosen


def rows_of(dataset: Dataset, split: str) -> pa.Table:
    """Images and labels of a split, in the shards' order."""
    shards = dataset.split(split).shards
    return pa.concat_tables(shard_file(dataset.location, shard).read(["image", "label"]) for shard in shards)


def main() -> None:
    """Read the command line, select, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", help="folder that ingest wrote")
    parser.add_argument("--to", type=Path, required=True, help="new folder, for ingest")
    parser.add_argument("--most", type=int, default=900, help="images of the first class")
    parser.add_argument("--ratio", type=float, default=10)
    options = parser.parse_args()
    dataset = Dataset.open(options.data)
    tables = {split: rows_of(dataset, split) for split in dataset.splits}
    sizes = tail_sizes(len(dataset.classes), options.most, options.ratio)
    tables["train"] = tables["train"].filter(pa.array(first_of_each(tables["train"]["label"].to_numpy(), sizes)))
    print(f"train: {', '.join(map(str, sizes))} images of the classes")
    options.to.mkdir(parents=True)
    for split, rows in tables.items():
        named = rows.set_column(1, "label", pc.take(pa.array(dataset.classes), rows["label"]))
        pq.write_table(named, options.to / f"{split}-00000.parquet", row_group_size=100)


if __name__ == "__main__":
    main()
