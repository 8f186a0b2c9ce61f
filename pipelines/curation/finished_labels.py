"""A finished clustering with its labels, to go on with: opened in one place, refused in one sentence."""

from __future__ import annotations

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.errors import UserError


def open_labels(place: str, head: int) -> tuple[FinishedClusters, LabelledRows]:
    """The clusters in a run's folder, and the labels of one head.

    Raises:
        UserError: for a run that is not finished, a file of centers, or a head that is not there.
    """
    clusters = FinishedClusters.open(place)
    if clusters.run is None:
        raise UserError(f"{place} is a file of centers, which has no labels; give the folder of a quorum cluster run")
    rows = LabelledRows(clusters.run.location / "labels", head, clusters.head(head).heads[0])
    if not rows.names:
        raise UserError(f"{rows.folder} holds no file of labels; take them again: quorum cluster --resume {place}")
    return clusters, rows
