"""Embeddings in Parquet: what `quorum embed` writes, and a manifest that makes a folder of them a whole.

A row is (id int64, embedding list of D float32, label int32 or null, and by a run's network clusters list of int32). The manifest
says how many rows there are to be before the first is written, so that a folder that was left half-written is noticed by
`EmbeddingFolder.open`.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.config.published_names import is_published
from pipelines.datasets.embedding_folder import EMBEDDINGS_FORMAT, EMBEDDINGS_MANIFEST, EmbeddingFolder, read_manifest
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.parquet_files import FoundFiles
from pipelines.errors import UserError
from pipelines.evaluation.embed_actors import embedded_rows
from pipelines.evaluation.embedding_sources import embedding_source
from pipelines.evaluation.evaluate import check_options
from pipelines.files.documents import write_document
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, one_writer
from pipelines.jobs.ray_cluster import connect
from pipelines.progress import progress
from pipelines.secrets import without_secrets
from pipelines.stream.ray_data import batches_of
from pipelines.words import tell

GROUP_ROWS = 8192  # of a row group, which a clustering's windows read whole
PART = re.compile(r"part-\d{12}\.parquet")


def write_embeddings(
    place: str, to: str, *, shards: str | None, split: str, workers: int, gpu: bool, address: str | None = None
) -> EmbeddingFolder:
    """Embed a split with the backbone of a run, or with published weights, and write the result to folder `to`.

    Args:
        place: a run's folder, a checkpoint of it, or `timm/MODEL.TAG`.
        to: an empty or absent folder, or one in which the same was begun and not finished: it is begun anew.
        shards: to embed; default the run's own.
        split: of the shards.
        workers: processes that embed.
        gpu: one GPU each.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for a folder that holds anything else or is at work, a source or shards that cannot be read, or another number
            of rows than the split has.
    """
    check_options(workers=workers)
    if is_published(place) and shards is None:
        raise UserError(f"{place} has no images of its own; name those to embed: --data FOLDER")
    source = embedding_source(place)
    dataset = Dataset.open(shards or str(source.data))
    rows_of_split = dataset.split(split).rows
    folder = Location.of(to)
    manifest = {
        "rows": rows_of_split, "split": split, "source": source.name,
        "shards": str(dataset.location), "fingerprint": dataset.fingerprint,
    } | ({"weights": source.weights} if source.weights else {})  # fmt: skip
    with one_writer(folder):
        _empty(folder, without_secrets(manifest))
        for line in source.said:
            tell(f"{source.name}: {line}")
        folder.make_writable()
        connect(address, local_cpus=workers + 1)
        write_document(folder / EMBEDDINGS_MANIFEST, without_secrets(manifest), EMBEDDINGS_FORMAT)
        rows = embedded_rows(source, dataset, split, workers=workers, gpu=gpu)
        with progress("embed", rows_of_split, "images") as bar:
            for batch in batches_of(rows.map_batches(EmbeddingWriter(folder), batch_size=None), batch_size=None):
                bar.advance(int(batch["rows"].sum()))
    return EmbeddingFolder.open(to)  # which holds the rows that were written against the manifest


def _empty(folder: Location, manifest: dict[str, Any]) -> None:
    """Remove what the same command has left of embeddings that it did not finish.

    Raises:
        UserError: for a folder that holds anything else.
    """
    there = {*folder.children()} - {*folder.cut_off(), NOTE}
    parts = sorted(filter(PART.fullmatch, there))
    if there and not (
        there == {EMBEDDINGS_MANIFEST, *parts} and read_manifest(folder) == manifest and _rows(folder, parts) < manifest["rows"]
    ):
        raise UserError(f"{folder} is not empty; choose an empty or absent folder for --to")
    folder.delete_cut_off()
    for name in parts:  # other numbers of workers cut other parts
        (folder / name).delete_file()


def _rows(folder: Location, parts: list[str]) -> int:
    """Rows of parts; one that cannot be read may be whole, and is an error."""
    return sum(footer.metadata.num_rows for footer in FoundFiles(folder, parts).footers())


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
    columns = {
        "id": pa.array(batch["id"], pa.int64()),
        "embedding": _lists(batch["feature"], pa.float32()),
        "label": pa.array(batch["label"], pa.int32(), mask=batch["label"] < 0),
    }
    if "clusters" in batch:
        columns["clusters"] = _lists(batch["clusters"], pa.int32())
    return pa.table(columns)


def _lists(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), kind), values.shape[1])
