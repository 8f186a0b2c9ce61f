"""Labels that are finished, of `quorum cluster` or `quorum assign`, with the rows that they are of."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.curation.assign import ASSIGNED, ASSIGNED_FORMAT, LABELS
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.documents import damage_in_words, read_document
from pipelines.files.location import Location


@dataclass(frozen=True)
class LabelledSource:
    """Labels and their rows.

    Attributes:
        folder: of the run or the assignment.
        vectors: the rows.
        heads: labels of each head that is asked for.
        identity: by which these labels are told from others.
    """

    folder: Location
    vectors: EmbeddingFolder
    heads: list[LabelledRows]
    identity: str

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
        folder = Location.of(place)
        if (folder / ASSIGNED).exists():
            said = read_document(folder / ASSIGNED, ASSIGNED_FORMAT, "assign again, to another folder")
            with damage_in_words(folder / ASSIGNED, "assign again, to another folder"):
                where, column, ids, fingerprint = said["place"], said["column"], said["id"], said["data"]
                sizes = {int(one["head"]): int(one["clusters"]) for one in said["heads"]}
                identity = f"{fingerprint}-{said['model']}"
        else:
            found = FinishedClusters.open(place)
            if found.run is None or found.config is None:
                raise UserError(f"{place} is a file of centers, which has no labels; give what quorum cluster or assign wrote")
            where, column, ids = (found.config[key] for key in ("data", "column", "id"))
            fingerprint, identity = found.run.identity["data"], found.run.address.run_id
            sizes = dict(enumerate(found.model.heads))
        if head is not None and head not in sizes:
            raise UserError(f"{place} has labels of heads {', '.join(map(str, sizes))}; there is no head {head}")
        chosen = sizes if head is None else {head: sizes[head]}
        vectors = EmbeddingFolder.open(data or where, column, ids)
        heads = [LabelledRows(folder / LABELS, one, clusters) for one, clusters in chosen.items()]
        if vectors.fingerprint != fingerprint or any(rows.rows != vectors.rows for rows in heads):
            raise UserError(
                f"{vectors.place} holds other rows than {place} has labels of; restore them, or say where they are now: --data"
            )
        return cls(folder, vectors, heads, identity)
