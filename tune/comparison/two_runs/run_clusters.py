"""The clusters that a run gave its rows, and which rows those are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipelines.clustering.finished_clusters import KIND
from pipelines.clustering.source_images import Images, images_of, labels_by_id
from pipelines.config.training_config import CONFIG_OF_COMMAND
from pipelines.curation.labelled_rows import ID, LABEL, LabelledRows
from pipelines.curation.labelled_source import FinishedLabels
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.runs.trained_model import Trained
from pipelines.secrets import is_hidden
from pipelines.tracking.epoch_snapshot import MOST_INSTANCES


@dataclass(frozen=True)
class RunClusters:
    """Labels of the first rows.

    Attributes:
        labels: (H, N) int32 by instance id, or by place in the files of vectors; -1 where a row has none.
        heads: K of each head.
        data: fingerprint of the images or vectors that the rows are of.
        split: of the images; `None` for vectors that are known by their places.
        rows: that the run labels, N or more.
        images: that the rows are, where they are still there.
    """

    labels: np.ndarray
    heads: list[int]
    data: str
    split: str | None
    rows: int
    images: Images | None = None

    @classmethod
    def of(cls, place: str) -> RunClusters:
        """The clusters of a run's newest checkpoint, or of the labels that `quorum cluster` wrote.

        Raises:
            UserError: for a folder that holds no run, or a run without clusters.
        """
        if not place:
            raise UserError("its folder is not known; give that in place of its id")
        if is_hidden(place):
            raise UserError("its folder is noted without the secret that it takes; give the folder in place of its id")
        if not Location.of(place).exists():
            raise UserError(f"its folder {place} is not here; say where it is now, in place of its id")
        run = Run.open(place)
        if run.kind == KIND:
            return _clustered(place)
        if run.kind not in CONFIG_OF_COMMAND:
            raise UserError(f"it is a run of quorum {run.kind}, which makes no clusters")
        return _trained(place)

    def has_rows_of(self, other: RunClusters) -> bool:
        """Whether numbers of the other's rows are those of the same rows here: the data are the same, or grew to these."""
        if self.split != other.split:
            return False
        return self.data == other.data or (self.images is not None and self.images.dataset.has_rows_of(other.data))


def _trained(place: str) -> RunClusters:
    trained = Trained.open(place)
    labels, fingerprint = trained.clusters, trained.run.identity["data"]
    try:
        images = Images(trained.dataset, trained.split) if trained.dataset.fingerprint == fingerprint else None
    except (UserError, OSError):  # gone: what the checkpoint knows of them is still known
        images = None
    first = labels[:, :MOST_INSTANCES].numpy().copy()  # a view would keep the labels of all rows
    return RunClusters(first, trained.num_clusters, fingerprint, trained.split, labels.shape[1], images)


def _clustered(place: str) -> RunClusters:
    found = FinishedLabels.open(place)
    where, column, ids = found.data
    try:
        vectors = EmbeddingFolder.open(where, column, ids)
        images = images_of(vectors) if vectors.fingerprint == found.fingerprint else None
    except (UserError, OSError):  # gone: rows are known by their places then
        images = None
    rows, heads = found.heads[0].rows, [head.clusters for head in found.heads]
    if images is None:
        labels = [_by_place(head, min(rows, MOST_INSTANCES)) for head in found.heads]
        return RunClusters(np.stack(labels), heads, found.fingerprint, None, rows)
    labels = [_by_id(head, min(images.ids, MOST_INSTANCES)) for head in found.heads]
    return RunClusters(np.stack(labels), heads, images.dataset.fingerprint, images.split, images.ids, images)


def _by_place(labelled: LabelledRows, most: int) -> np.ndarray:
    return labelled.read(0, most)[0].astype(np.int32)


def _by_id(labelled: LabelledRows, most: int) -> np.ndarray:
    """Labels (N,) of the first instance ids."""
    pieces = ((table[ID].to_numpy(), table[LABEL].to_numpy()[np.newaxis]) for table in labelled.pieces(ID, LABEL))
    (labels,) = labels_by_id(pieces, 1, most)
    return np.asarray(labels)
