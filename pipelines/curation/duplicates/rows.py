"""The rows that `quorum dedup` compares: those of a clustering, or embeddings as one cluster."""

from __future__ import annotations

from dataclasses import dataclass
from shlex import quote

import numpy as np

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.label_files import FrozenClusters
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.curation.labelled_source import LabelledSource
from pipelines.datasets.embedding_folder import MOST_COMPARED, EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import RUN_FILE
from pipelines.words import tell

MOST_ALL_PAIRS = 50_000  # rows whose pairs are all compared without being asked to


@dataclass(frozen=True)
class RowsToCompare:
    """Vectors and how they are clustered.

    Attributes:
        vectors: the rows.
        clusters: that they were put into; `None` where all pairs are compared.
        labels: of one head.
    """

    vectors: EmbeddingFolder
    clusters: FinishedClusters | None = None
    labels: LabelledRows | None = None

    @property
    def sizes(self) -> np.ndarray:
        """(K,) rows of each cluster."""
        return np.array([self.vectors.rows]) if self.labels is None else self.labels.counts()

    @property
    def model(self) -> FrozenClusters | None:
        """Centers and prices of the head."""
        return None if self.clusters is None or self.labels is None else self.clusters.head(self.labels.head)

    def neighbours(self, asked: int | None) -> int:
        """Clusters besides its own that a row is compared in; 1 where nothing is asked for and it can be.

        Raises:
            UserError: for a number that is none, or rows without neighbours.
        """
        if asked is not None and not (isinstance(asked, int) and asked >= 0):
            raise UserError(f"--neighbours is {asked}; it must be a whole number, at least 0")
        model = self.model
        if model is None or model.metric == "euclidean":
            if asked:
                why = "all pairs of embeddings are compared" if model is None else "which center is next is not told by the angle"
                raise UserError(f"--neighbours {asked} is for clusters of directions, and here {why}; leave it out")
            return 0
        return min(1 if asked is None else asked, len(model.centers) - 1)


def rows_to_compare(
    place: str, *, head: int, data: str | None, column: str | None, id_column: str | None, all_pairs: bool
) -> RowsToCompare:  # fmt: skip
    """The rows of a clustering's folder, or of embeddings.

    Raises:
        UserError: for options of the other one, rows that are not those of the clustering, or too many without one.
    """
    if (Location.of(place) / RUN_FILE).exists():
        if given := _given(all_pairs=all_pairs, column=column, id=id_column):
            raise UserError(f"{given} goes with embeddings, and {place} is a clustering; leave it out, or give its embeddings")
        source = LabelledSource.open(place, data, head)
        _check_rows(source.vectors)
        return RowsToCompare(source.vectors, source.labels.clusters, source.heads[0])
    vectors = EmbeddingFolder.open(place, "embedding" if column is None else column, id_column)
    if given := _given(head=head, data=data):
        raise UserError(f"{given} goes with a clustering, and {place} is none; leave it out")
    if vectors.rows > MOST_ALL_PAIRS and not all_pairs:
        raise UserError(
            f"{place} has {vectors.rows:,} rows, and the time for all pairs grows with their square; cluster them, "
            f"quorum cluster --data {quote(str(place))} --to FOLDER --num-clusters {vectors.rows // 1000}, and give that FOLDER, "
            "or give --all-pairs"
        )
    _check_rows(vectors)
    return RowsToCompare(vectors)


def _check_rows(vectors: EmbeddingFolder) -> None:
    """Refuse ids by which a row that is kept could not be told from one that is removed, and say what is not looked at."""
    if vectors.left_out:
        tell(vectors.left_out)
    if vectors.id_column is not None and vectors.rows > MOST_COMPARED:
        tell(f"whether ids come again was not looked at: more than {MOST_COMPARED:,} rows")
    again, first = vectors.repeated_ids()
    if again:
        raise UserError(
            f"{again} of the ids {vectors.id_column!r} of {vectors.place}, such as {first}, belong to several rows, of which one "
            "may be kept and another removed; give each row an id of its own, or another column by --id"
        )


def _given(**options: object) -> str:
    """The first option that has a value, as it is written."""
    return next((f"--{name.replace('_', '-')}" for name, value in options.items() if value), "")
