"""Data that a run reads, as MLflow lists it: a data set of a name and a digest, where it is, and what there is of it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection
from pipelines.files.location import Location
from pipelines.secrets import hidden

if TYPE_CHECKING:
    from pipelines.datasets.embedding_folder import EmbeddingFolder

TRAINING, VALIDATION, EVALUATION, CLUSTERING, LABELS = "training", "validation", "evaluation", "clustering", "labels"
SOURCES = {"local": "local", "s3": "s3", "gcs": "gs", "abfs": "azure"}  # MLflow's names of pyarrow's file systems
LONGEST_NAME = 500  # that MLflow keeps


@dataclass(frozen=True)
class DataInput:
    """One data set of a run. MLflow knows it by name and digest, so that each split is one of its own.

    Attributes:
        name: of the data and of the split.
        digest: fingerprint of the data.
        source: folder or file, without secrets.
        source_type: of the file system.
        context: what the run does with it.
        rows: of the split.
        columns: name and type of each, as MLflow spells types.
        counts: what else there is to count or to say.
    """

    name: str
    digest: str
    source: str
    source_type: str
    context: str
    rows: int
    columns: dict[str, str]
    counts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of_split(cls, dataset: Dataset, split: str, context: str) -> DataInput:
        """A split of shards of images."""
        mine = dataset.split(split)
        columns = {"id": "long", "image": "binary"} | ({"label": "long"} if mine.labelled else {})
        counts = {
            "split": split, "shards": len(mine.shards), "image_bytes": sum(shard.image_bytes for shard in mine.shards),
            "classes": len(dataset.classes), "quarantined": dataset.quarantined,
        }  # fmt: skip
        name, place = f"{dataset.name}/{split}", _source(dataset.location)
        return cls(name, dataset.fingerprint, *place, context, mine.rows, columns, counts)

    @classmethod
    def of_vectors(cls, vectors: EmbeddingFolder, context: str) -> DataInput:
        """Vectors in Parquet."""
        counts = {"dim": vectors.dim, "files": len(vectors.shards)}
        columns = {vectors.column: "double"} | ({vectors.id_column: "string"} if vectors.id_column else {})
        return cls(vectors.place.name, vectors.fingerprint, *_source(vectors.place), context, vectors.rows, columns, counts)

    @classmethod
    def of_labels(cls, chosen: Selection, place: str) -> DataInput:
        """The few labels that a training sees."""
        content = json.dumps([chosen.fingerprint, chosen.split, chosen.classes, chosen.ids, chosen.labels])
        digest, location = hashlib.sha256(content.encode()).hexdigest()[:16], Location.of(place)
        counts = {"rule": chosen.rule, "classes": len(set(chosen.labels)), "split": chosen.split, "data": chosen.fingerprint}
        return cls("labels", digest, *_source(location), LABELS, len(chosen.ids), {"id": "long", "label": "long"}, counts)

    @property
    def call(self) -> str:
        """By which a journal knows it: a run that goes on tells it again."""
        return f"input-{self.name}-{self.digest}-{self.context}"

    def values(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return asdict(self)


def mlflow_input(values: dict[str, Any]) -> Any:
    """What `MlflowClient.log_inputs` takes, of the plain values of a `DataInput`."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    columns = [{"name": name, "type": kind, "required": True} for name, kind in values["columns"].items()]
    entity = Dataset(
        values["name"][:LONGEST_NAME], values["digest"], values["source_type"], json.dumps({"uri": values["source"]}),
        json.dumps({"mlflow_colspec": columns}), json.dumps({"num_rows": values["rows"], **values["counts"]}),
    )  # fmt: skip
    tags = {"mlflow.data.context": values["context"], "rows": values["rows"], **values["counts"]}
    return DatasetInput(entity, [InputTag(key, str(value)) for key, value in tags.items()])


def _source(place: Location) -> tuple[str, str]:
    return hidden(str(place)), SOURCES.get(place.filesystem.type_name, place.filesystem.type_name)
