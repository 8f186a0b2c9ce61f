"""Embeddings in Parquet: what `quorum embed` writes, and a manifest that makes a folder of them a whole.

A row is (id int64, embedding list of D float32, label int32 or null, clusters list of int32). The manifest says how many rows
there are to be before the first is written, so that a folder that was left half-written is noticed by `EmbeddingFolder.open`.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipelines.datasets.embedding_folder import EMBEDDINGS_FORMAT, EMBEDDINGS_MANIFEST, EmbeddingFolder
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.evaluation.embed_actors import embedded_rows
from pipelines.evaluation.evaluate import check_options
from pipelines.files.documents import write_document
from pipelines.files.location import Location
from pipelines.jobs.ray_cluster import connect
from pipelines.progress import progress
from pipelines.runs.trained_model import Trained
from pipelines.secrets import without_secrets

GROUP_ROWS = 8192  # of a row group, which a clustering's windows read whole


def write_embeddings(
    place: str, to: str, *, shards: str | None, split: str, workers: int, gpu: bool, address: str | None = None
) -> EmbeddingFolder:
    """Embed a split with a run's backbone and write the result to folder `to`; arguments as of `evaluate`.

    Raises:
        UserError: for a folder in use, a run or shards that cannot be read, or another number of rows than the split has.
    """
    check_options(workers=workers)
    trained = Trained.open(place)
    dataset = Dataset.open(shards) if shards else trained.dataset
    rows_of_split = dataset.split(split).rows
    folder = Location.of(to)
    if folder.children():
        raise UserError(f"{to} is not empty; choose an empty or absent folder for --to")
    manifest = {
        "rows": rows_of_split, "split": split, "source": trained.place,
        "shards": str(dataset.location), "fingerprint": dataset.fingerprint,
    }  # fmt: skip
    connect(address, local_cpus=workers + 1)
    write_document(folder.make() / EMBEDDINGS_MANIFEST, without_secrets(manifest), EMBEDDINGS_FORMAT)
    rows = embedded_rows(trained, dataset, split, workers=workers, gpu=gpu)
    with progress("embed", rows_of_split, "images") as bar:
        for batch in rows.map_batches(EmbeddingWriter(folder), batch_size=None).iter_batches(batch_size=None):
            bar.advance(int(batch["rows"].sum()))
    return EmbeddingFolder.open(to)  # which holds the rows that were written against the manifest


class EmbeddingWriter:
    """Writes each block of `Embedder`'s rows as a file named by its first id, which a task that runs again overwrites.

    Runs in Ray Data tasks; yields the number of `rows`.
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Write one block."""
        rows = len(batch["id"])
        if rows:
            (self.folder / f"part-{batch['id'][0]:012d}.parquet").write_parquet(_to_table(batch), row_group_size=GROUP_ROWS)
        return {"rows": np.array([rows])}


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
