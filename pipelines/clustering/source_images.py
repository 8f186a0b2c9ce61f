"""The images behind what `quorum embed` wrote, so that a clustering of it can be looked at and compared with the truth."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from pipelines.clustering.label_files import LabelledFolder
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST, EmbeddingFolder, read_manifest
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.tracking.epoch_snapshot import MOST_INSTANCES


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
        print(f"the images of {vectors.location} are not at {manifest['shards']} any more; no pictures of them", file=sys.stderr)
        return None
    return Images(dataset, manifest["split"])


def clusters_by_id(labelled: LabelledFolder, images: Images) -> np.ndarray:
    """Labels (H, N) int32 of the first instances by id, from as many files as hold so many rows; -1 where there is none."""
    heads, read = len(labelled.model.heads), 0
    clusters = np.full((heads, min(images.ids, MOST_INSTANCES)), -1, np.int32)
    for part in labelled.files:
        if read >= clusters.shape[1]:
            break
        table = (labelled.folder / part.name).read_parquet(["id", *(f"label_head{head}" for head in range(heads))])
        ids = table["id"].to_numpy()
        known = (ids >= 0) & (ids < clusters.shape[1])
        for head in range(heads):
            clusters[head, ids[known]] = table[f"label_head{head}"].to_numpy()[known]
        read += part.rows
    return clusters
