"""Labels that are finished, of `quorum cluster` or `quorum assign`, alone or with the rows that they are of."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from shlex import quote

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.result_files import SIZES
from pipelines.curation.assign import ASSIGNED, ASSIGNED_FORMAT, LABELS
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.documents import damage_in_words, read_document
from pipelines.files.location import Location


@dataclass(frozen=True)
class FinishedLabels:
    """Labels in a folder, and what is said of their rows.

    Attributes:
        folder: of the run or the assignment.
        heads: labels of each head that is asked for.
        maker: the run, or the rows and clusters of the assignment.
        data: where the rows were, the column of their vectors and that of their ids, if they have one.
        fingerprint: of the rows.
        clusters: of the run; `None` for an assignment.
    """

    folder: Location
    heads: list[LabelledRows]
    maker: str
    data: tuple[str, str, str | None]
    fingerprint: str
    clusters: FinishedClusters | None = None

    @classmethod
    def open(cls, place: str, head: int | None = None) -> FinishedLabels:
        """The labels in the folder of a finished run or assignment.

        Args:
            place: the folder.
            head: whose labels alone; default those of all heads.

        Raises:
            UserError: for a folder without finished labels, or a head that is not there.
        """
        folder = Location.of(place)
        clusters = None
        if (folder / ASSIGNED).exists():
            said = read_document(folder / ASSIGNED, ASSIGNED_FORMAT, "assign again, to another folder")
            with damage_in_words(folder / ASSIGNED, "assign again, to another folder"):
                data, fingerprint = (said["place"], said["column"], said["id"]), said["data"]
                sizes, rows = {int(one["head"]): int(one["clusters"]) for one in said["heads"]}, int(said["rows"])
                maker = f"{fingerprint}-{said['model']}"
        else:
            clusters = FinishedClusters.open(place)
            if clusters.run is None or clusters.config is None:
                raise UserError(f"{place} is a file of centers, which has no labels; give what quorum cluster or assign wrote")
            config, run = clusters.config, clusters.run
            data, fingerprint, maker = (config["data"], config["column"], config["id"]), run.identity["data"], run.address.run_id
            sizes, rows = dict(enumerate(clusters.model.heads)), clusters.rows
        if head is not None and head not in sizes:
            raise UserError(f"{place} has labels of heads {', '.join(map(str, sizes))}; there is no head {head}")
        chosen = sizes if head is None else {head: sizes[head]}
        heads = [LabelledRows(folder / LABELS, one, count) for one, count in chosen.items()]
        if heads[0].rows != rows:
            again = (
                "assign again, to another folder"
                if clusters is None
                else f"label again: quorum cluster --resume {quote(str(place))}"
            )
            found = f"{heads[0].rows:,} labels" if heads[0].names else "no file of labels"
            raise UserError(f"{heads[0].folder} holds {found}, and {rows:,} were written; restore its files, or {again}")
        return cls(folder, heads, maker, data, fingerprint, clusters)


@dataclass(frozen=True)
class LabelledSource:
    """Labels and their rows.

    Attributes:
        labels: that are finished.
        vectors: the rows.
    """

    labels: FinishedLabels
    vectors: EmbeddingFolder

    @property
    def folder(self) -> Location:
        """Of the run or the assignment."""
        return self.labels.folder

    @property
    def heads(self) -> list[LabelledRows]:
        """Labels of each head that is asked for."""
        return self.labels.heads

    @cached_property
    def identity(self) -> str:
        """By which these labels are told from others, also from those that the same run had before a repair."""
        content = hashlib.sha256(self.heads[0].digest.encode())
        if (sizes := self.folder / SIZES).exists():  # whose mean similarities tell rows that changed places from each other
            content.update(sizes.read_bytes())
        return f"{self.labels.maker}-{content.hexdigest()[:16]}"

    @classmethod
    def open(cls, place: str, data: str | None = None, head: int | None = None) -> LabelledSource:
        """The labels in a folder, whose rows may have moved to `data`.

        Args:
            place: folder of a finished run or assignment.
            data: the rows, if they have moved.
            head: whose labels alone; default those of all heads.

        Raises:
            UserError: for a folder without finished labels, a head that is not there, or other rows than were labelled.
        """
        labels = FinishedLabels.open(place, head)
        where, column, ids = labels.data
        vectors = EmbeddingFolder.open(data or where, column, ids)
        if vectors.fingerprint != labels.fingerprint or any(rows.rows != vectors.rows for rows in labels.heads):
            raise UserError(
                f"{vectors.place} holds other rows than {place} has labels of; restore them, or say where they are now: --data"
            )
        return cls(labels, vectors)
