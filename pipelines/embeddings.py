"""Embeddings in Parquet: what `quorum embed` writes, and a manifest that makes a folder of them a whole.

A row is (id int64, embedding list of D float32, label int32 or null, clusters list of int32). The manifest says how many rows
there are to be before the first is written, so that a folder that was left half-written is noticed by `Vectors.open`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from algos.networks import feature_size
from pipelines.embedder import embedded_rows
from pipelines.errors import UserError
from pipelines.shards import Dataset
from pipelines.storage import Location
from pipelines.trained import Trained
from pipelines.vectors import MANIFEST, Vectors

FORMAT = 1


@dataclass(frozen=True)
class Embeddings:
    """A folder of embeddings.

    Attributes:
        rows: of all files.
        dim: D.
        source: checkpoint that made them.
        fingerprint: of the shards that were embedded.
        split: of the shards.
    """

    rows: int
    dim: int
    source: str
    fingerprint: str
    split: str


def write_embeddings(place: str, to: str, *, shards: str | None, split: str, workers: int, gpu: bool) -> Embeddings:
    """Embed a split with a run's backbone and write the result to folder `to`.

    Raises:
        UserError: for a folder in use, or a run or shards that cannot be read.
        RuntimeError: if rows are missing or came twice.
    """
    trained = Trained.open(place)
    dataset = Dataset.open(shards) if shards else trained.dataset
    folder = Location.of(to)
    if folder.children():
        raise UserError(f"{to} is not empty; choose an empty or absent folder for --to")
    rows, dim = dataset.split(split).rows, feature_size(trained.method().backbone)
    made = Embeddings(rows, dim, trained.place, dataset.fingerprint, split)
    (folder.make() / MANIFEST).write_json(asdict(made) | {"format": FORMAT})
    tables = embedded_rows(trained, dataset, split, workers=workers, gpu=gpu)
    tables.map_batches(_to_table, batch_size=None).write_parquet(folder.path, filesystem=folder.filesystem)
    written = Vectors.open(to)
    if (written.rows, written.dim) != (rows, dim):
        raise RuntimeError(f"{written.rows} rows of split {split!r} were written, {rows} expected")
    return made


def _to_table(batch: dict[str, np.ndarray]) -> pa.Table:
    features, labels, clusters = batch["feature"], batch["label"], batch["clusters"]
    return pa.table(
        {
            "id": pa.array(batch["id"], pa.int64()),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1), pa.float32()), features.shape[1]),
            "label": pa.array(labels, pa.int32(), mask=labels < 0),
            "clusters": pa.FixedSizeListArray.from_arrays(pa.array(clusters.reshape(-1), pa.int32()), clusters.shape[1]),
        }
    )
