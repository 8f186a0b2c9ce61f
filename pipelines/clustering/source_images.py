"""The images behind what `quorum embed` wrote, so that a clustering of it can be looked at and compared with the truth."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from pipelines.clustering.label_files import LabelledFolder
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST, EmbeddingFolder, read_manifest
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.files.parquet_reader import ParquetReader
from pipelines.tracking.epoch_snapshot import MOST_INSTANCES
from pipelines.words import tell

UNSEEN = -1  # in place of the label of an instance that has none


@dataclass(frozen=True)
class Images:
    """Shards that were embedded, and which split of them; the embeddings' ids are its instance ids."""

    dataset: Dataset
    split: str

    @property
    def ids(self) -> int:
        """Which the instance ids lie below."""
        return self.dataset.split(self.split).ids


def images_of(vectors: EmbeddingFolder) -> Images | None:
    """The images, where the vectors were made of some that are still there; says so where they are not."""
    if vectors.id_column != "id" or not (vectors.location / EMBEDDINGS_MANIFEST).exists():
        return None
    manifest = read_manifest(vectors.location)
    if not {"shards", "split", "fingerprint"} <= manifest.keys():
        return None
    try:
        dataset = Dataset.open(manifest["shards"]).as_of(manifest["fingerprint"])
    except (UserError, OSError):  # gone, or on storage that does not answer here
        dataset = None
    if dataset is None or dataset.fingerprint != manifest["fingerprint"]:
        tell(f"the images of {vectors.location} are not at {manifest['shards']} any more; no pictures of them")
        return None
    return Images(dataset, manifest["split"])


def clusters_by_id(labelled: LabelledFolder, images: Images) -> np.ndarray:
    """Labels (H, N) int32 of the first instances by id, from as many files as hold so many rows; -1 where there is none."""
    count = min(images.ids, MOST_INSTANCES)
    return labels_by_id(_first_files(labelled, count), len(labelled.model.heads), count)


def labels_by_id(pieces: Iterable[tuple[np.ndarray, np.ndarray]], heads: int, count: int) -> np.ndarray:
    """Labels (H, N) int32 of the instances of ids 0 to N - 1; -1 where there is none.

    Args:
        pieces: ids (R,) of some rows, and their labels (H, R).
        heads: H.
        count: N.
    """
    found = np.full((heads, count), UNSEEN, np.int32)
    for ids, labels in pieces:
        known = (ids >= 0) & (ids < count)
        found[:, ids[known]] = labels[:, known]
    return found


def _first_files(labelled: LabelledFolder, rows: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids and labels of as many files as hold so many rows."""
    columns, read = [f"label_head{head}" for head in range(len(labelled.model.heads))], 0
    for part in labelled.files:
        if read >= rows:
            break
        table = ParquetReader(labelled.folder / part.name).read(["id", *columns])
        yield table["id"].to_numpy(), np.stack([table[column].to_numpy() for column in columns])
        read += part.rows
