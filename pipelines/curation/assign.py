"""`quorum assign`: labels and similarities of new rows, of any number, under finished clusters."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.clustering.finished_clusters import FinishedClusters, open_clusters
from pipelines.clustering.initial_centers import draw_form
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder, label_files
from pipelines.clustering.label_pass import write_labels
from pipelines.clustering.result_files import SIZES
from pipelines.curation.begun_folder import finish, may_take, take
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import DIRECTIONS, RowForm
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.files.parquet_reader import open_parquet
from pipelines.jobs.deaths import deaths_in_words
from pipelines.jobs.ray_cluster import connect
from pipelines.secrets import without_secrets
from pipelines.words import tell

ASSIGNED, ASSIGNED_FORMAT = "assigned.json", 1
LABELS = "labels"


@dataclass(frozen=True)
class Assigned:
    """Finished labels: their folder, and what `assigned.json` says."""

    location: Location
    report: dict[str, Any]


def assign(
    clusters: str, data: str, to: str, *, column: str | None = None, id_column: str | None = None, head: int | None = None,
    prices: bool = True, metric: str | None = None, gpu: bool = False, address: str | None = None,
) -> Assigned:  # fmt: skip
    """Write the labels of the rows in `data` to `to`; one that was killed goes on with the files that it has finished.

    Args:
        clusters: folder of a finished `quorum cluster`, or a file of centers.
        data: Parquet file or folder of the rows.
        to: an empty or absent folder, or one where the same was begun.
        column: of the vectors; default the run's, of a file of centers `embedding`.
        id_column: of the ids; default the run's where the rows have it, else as `EmbeddingFolder.open` has it.
        head: whose labels; default those of all heads.
        prices: whether a label is the argmax of similarity plus price, as in the run, or of similarity alone.
        metric: of a file of centers; default cosine.
        gpu: whether rows are labelled on the cluster's GPUs.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for clusters that are not finished or of another metric, rows of another length, or a folder in use.
    """
    began = time.monotonic()
    found = open_clusters(clusters, metric)
    model = found.model if head is None else found.head(head)
    model = model if prices else model.without_prices()
    vectors = _open_rows(found, data, column, id_column)
    _check_width(vectors, found)
    before = found.sizes() if found.run is not None else None  # which is refused, if it is, before rows are labelled
    folder = Location.of(to)
    if not vectors.single and folder.lies_in(vectors.location):
        raise UserError(f"--to {folder} lies in the folder of the embeddings, whose files are read as rows; choose another")
    plan = {"data": vectors.fingerprint, "model": _digest(model), "files": len(label_files(vectors))}
    with one_writer(folder):
        labelled, seconds = _label(vectors, model, folder, plan, gpu=gpu, address=address)
        report = _write_sizes(folder, labelled, before) | {
            "clusters": str(found.location), "metric": model.metric, "prices": model.priced, "place": str(vectors.place),
            "column": vectors.column, "id": vectors.id_column, "seconds": time.monotonic() - began,
            "rows_per_second": vectors.rows / seconds,
        }  # fmt: skip
        report = without_secrets(report | plan)
        finish(folder, ASSIGNED, report, ASSIGNED_FORMAT)
    return Assigned(folder, report)


def _label(
    vectors: EmbeddingFolder, model: FrozenClusters, folder: Location, plan: dict[str, Any], *, gpu: bool, address: str | None
) -> tuple[LabelledFolder, float]:
    """Write the files of labels that are not there yet; returns all of them, and how many seconds that took."""
    keep = may_take(folder, plan, ASSIGNED)
    connect(address)
    if gpu and not ray.cluster_resources().get("GPU", 0):
        raise UserError("--gpu asks for a GPU, and the cluster has none; leave it out")
    if keep:
        done = sum(name.endswith(".parquet") for name in (folder / LABELS).children())
        tell(f"{folder}: {done} of {plan['files']} files of labels are there; going on")
    form, began = _form(model, vectors), time.monotonic()
    with deaths_in_words("quorum assign, with the same words"):
        into = take(folder, plan) / LABELS
        labelled = write_labels(vectors.in_form(form), model.among(form), into, gpu=gpu, keep=keep)
    return labelled, time.monotonic() - began


def _form(model: FrozenClusters, vectors: EmbeddingFolder) -> RowForm:
    """What rows become: of Euclidean ones origin and scale are those of the centers; of rows where all centers are one."""
    if model.metric == "cosine":
        return DIRECTIONS
    if (model.centers == model.centers[0]).all():
        return draw_form(vectors, model.metric, len(model.centers), min_size_ratio=1.0, seed=0)
    return RowForm.around(model.centers)


def _open_rows(found: FinishedClusters, data: str, column: str | None, id_column: str | None) -> EmbeddingFolder:
    config = found.config or {}
    column, theirs = config.get("column", "embedding") if column is None else column, config.get("id")
    vectors = EmbeddingFolder.open(data, column, id_column)
    if id_column is None and theirs not in (None, vectors.id_column):
        filled = next(shard for shard in vectors.shards if shard.rows)
        if theirs in open_parquet(vectors.location, filled.path, filled.digest).schema.names:
            vectors = EmbeddingFolder.open(data, column, theirs)
    for remark in vectors.remarks():
        tell(remark)
    return vectors


def _check_width(vectors: EmbeddingFolder, found: FinishedClusters) -> None:
    width = found.model.centers.shape[1]
    if vectors.dim != width:
        raise UserError(
            f"the rows of {vectors.place} have {vectors.dim} numbers, the centers of {found.location} have {width}; give "
            "embeddings of the same network, or another --column"
        )


def _digest(model: FrozenClusters) -> str:
    """Hash over all that labels follow from."""
    said = f"{model.heads} {model.first} {model.metric} {model.centers.dtype} {model.prices.dtype}"
    numbers = [model.centers, model.prices]
    if model.parents is not None:
        numbers += [model.parents.centers, model.parents.prices, model.parents.children]
    return hashlib.sha256(said.encode() + b"".join(each.tobytes() for each in numbers)).hexdigest()[:16]


def _write_sizes(folder: Location, labelled: LabelledFolder, before: pa.Table | None) -> dict[str, Any]:
    """Write `sizes.parquet`; returns the figures of the whole and of each head, beside the run's own where there is one."""
    model, unit = labelled.model, labelled.vectors.form.unit
    counts, sums = model.per_head(labelled.counts), model.per_head(labelled.sums * unit)
    names = {
        "head": pa.array(np.repeat(model.numbers, model.heads), pa.int32()),
        "cluster": pa.array(np.concatenate([np.arange(clusters) for clusters in model.heads]), pa.int32()),
    }
    mean = labelled.sums * unit / np.maximum(labelled.counts, 1)
    table = pa.table(names | {"rows": labelled.counts, "similarity": pa.array(mean, mask=labelled.counts == 0)})
    heads = [_figures(head, n, total) for head, n, total in zip(model.numbers, counts, sums, strict=True)]
    if before is not None:
        before = before.filter(pa.array(np.isin(before["head"].to_numpy(), model.numbers)))
        table = table.append_column("run_rows", before["rows"]).append_column("run_similarity", before["similarity"])
        theirs, similar = before["rows"].to_numpy(), before["similarity"].fill_null(0).to_numpy()
        for figures, n, was, near in zip(heads, counts, model.per_head(theirs), model.per_head(similar), strict=True):
            figures["run_mean_similarity"] = float(was @ near / was.sum())
            figures["moved_share"] = float(np.abs(n / n.sum() - was / was.sum()).sum() / 2)
    (folder / SIZES).write_parquet(table)
    return {"rows": labelled.vectors.rows, "dim": labelled.vectors.dim, "heads": heads}


def _figures(head: int, counts: np.ndarray, sums: np.ndarray) -> dict[str, float]:
    return {
        "head": head, "clusters": len(counts), "smallest": int(counts.min()), "largest": int(counts.max()),
        "empty": int((counts == 0).sum()), "mean_similarity": float(sums.sum() / counts.sum()),
    }  # fmt: skip
