"""`quorum quality`: how good the clusters of a finished run are - sizes, similarity, silhouette, nearest clusters, pictures."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from sklearn import config_context
from sklearn.metrics import silhouette_samples

from algos.cluster_quality import closest_pairs, gini, nearest_centers, simplified_silhouette
from algos.scores import size_figures
from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.initial_centers import sample_places
from pipelines.clustering.label_files import FrozenClusters
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.curation.labelled_source import LabelledSource
from pipelines.curation.quality_pictures import draw
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import DIRECTIONS, RowForm
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.tracking import figures
from pipelines.tracking.about.page import page_in_words
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.words import tell

FOLDER, REPORT, TABLE = "quality", "quality.json", "quality.parquet"
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
MOST_PAIRS = 20
FIGURES = (  # that MLflow gets, by their plain names
    "cluster_size_min", "cluster_size_max", "cluster_size_entropy", "size_gini", "similarity", "silhouette",
    "simplified_silhouette", "closest_centers",
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The folder, what `quality.json` says, the pictures on this machine, and where MLflow shows it."""

    location: Location
    report: dict[str, Any]
    pictures: list[Path]
    page: str


@dataclass(frozen=True)
class HeadQuality:
    """Figures of a head by their names in the report, and its clusters' table."""

    figures: dict[str, Any]
    table: pa.Table


def measure(place: str, *, sample: int = 10_000, seed: int = 0, data: str | None = None) -> Measured:
    """Write `quality.json`, `quality.parquet` and pictures to a folder of the run, and record them.

    Args:
        place: folder of a finished run.
        sample: rows for the silhouette; 0 for none.
        seed: of the sample.
        data: the run's rows, if they have moved.

    Raises:
        UserError: for a run that is not finished, or other rows than its own.
    """
    if sample < 0:
        raise UserError(f"--sample is {sample}; give a number of rows, or 0")
    if seed < 0:
        raise UserError(f"--seed is {seed}; it must be 0 or more")
    found = FinishedClusters.open(place)
    source = LabelledSource.open(place, data)
    assert found.run is not None  # or the source had been refused
    sizes = found.sizes()
    form = DIRECTIONS if found.model.metric == "cosine" else RowForm("euclidean", dtype="float64")
    rows, places = _sample(source.vectors.in_form(form), sample, seed)
    heads = [_measure(found.head(mine.head), mine, sizes, rows, places) for mine in source.heads]
    report = {
        "rows": source.vectors.rows, "metric": found.model.metric, "sample": len(rows), "seed": seed,
        "quantiles": list(QUANTILES), "heads": [head.figures for head in heads],
    }  # fmt: skip
    local = found.run.local_folder / FOLDER
    local.mkdir(parents=True, exist_ok=True)
    pictures = draw(source, sizes, local)
    Location.of(local / TABLE).write_parquet(pa.concat_tables(head.table for head in heads))
    Location.of(local / REPORT).write_json(report)
    written = [*pictures, local / TABLE, local / REPORT]
    folder = found.run.location / FOLDER
    if not folder.is_local:
        for path in written:
            (folder.make() / path.name).write_bytes(path.read_bytes())
    _record(found.run, report, written)
    return Measured(folder, report, pictures, page_in_words(found.run.address))


def _sample(vectors: EmbeddingFolder, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (S, D) and their ascending places (S,)."""
    if not count:
        return np.empty((0, vectors.dim), np.float32), np.empty(0, np.int64)
    rows, places = sample_places(vectors, min(count, vectors.rows), seed)
    kept = np.random.default_rng(seed).permutation(len(rows))[:count]
    kept = kept[np.argsort(places[kept])]
    return rows[kept], places[kept]


def _measure(model: FrozenClusters, labelled: LabelledRows, sizes: pa.Table, rows: np.ndarray, places: np.ndarray) -> HeadQuality:
    """The figures of one head."""
    mine = sizes.filter(pa.array(sizes["head"].to_numpy() == labelled.head))
    counts, spherical = mine["rows"].to_numpy(), model.metric == "cosine"
    nearest, distance = nearest_centers(model.centers, spherical=spherical)
    closeness = 1 - distance if spherical else distance
    pairs = closest_pairs(nearest, distance, MOST_PAIRS)
    similarity = mine["similarity"].to_numpy()[counts > 0]
    silhouettes, table = _silhouettes(model, labelled.at(places), rows), mine
    table = table.append_column("nearest", pa.array(nearest, pa.int32(), mask=nearest < 0))
    table = table.append_column("similarity_to_nearest" if spherical else "distance_to_nearest", _with_nulls(closeness))
    for name, (each, _) in silhouettes.items():
        table = table.append_column(name, _with_nulls(each))
    bounds = {name: mine[name][0].as_py() for name in ("minimum", "maximum") if name in mine.column_names}
    most = bounds.get("maximum")
    said = size_figures(torch.from_numpy(counts.copy()), float(bounds["minimum"]), np.inf if most is None else float(most))
    said = {figures.OF_HEAD[name]: value for name, value in said.items()}
    found = {
        "head": labelled.head, "clusters": len(counts), **said, "size_gini": gini(counts),
        "sizes": _quantiles(counts), "similarity": float(similarity @ counts[counts > 0] / counts.sum()),
        "similarities": _quantiles(similarity), **{name: mean for name, (_, mean) in silhouettes.items()},
        "closest_centers": _closeness(pairs[0], nearest, closeness) if pairs else None,
        "closest_pairs": [[a, b, _closeness((a, b), nearest, closeness)] for a, b in pairs],
    }  # fmt: skip
    if "maximum" in bounds:
        found["maximum"] = most
    return HeadQuality(found, table)


def _silhouettes(model: FrozenClusters, labels: np.ndarray, rows: np.ndarray) -> dict[str, tuple[np.ndarray, float | None]]:
    """By name the mean silhouette of each cluster's sampled rows (K,), NaN without any, and that of all."""
    clusters, spherical = len(model.centers), model.metric == "cosine"
    none = np.full(clusters, np.nan), None
    made: dict[str, tuple[np.ndarray, float | None]] = {"silhouette": none, "simplified_silhouette": none}
    if len(rows) and clusters > 1:
        values = simplified_silhouette(rows, labels, model.centers, spherical=spherical)
        made["simplified_silhouette"] = _by_cluster(values, labels, clusters), float(values.mean())
    if 2 <= len(np.unique(labels)) < len(rows):
        near = rows if spherical else rows - rows.mean(axis=0)  # scikit-learn multiplies rows: far from 0 differences would drown
        with config_context(working_memory=128), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rounding at distance 0
            values = silhouette_samples(near, labels, metric=model.metric)
        made["silhouette"] = _by_cluster(values, labels, clusters), float(values.mean())
    return made


def _by_cluster(values: np.ndarray, labels: np.ndarray, clusters: int) -> np.ndarray:
    counts = np.bincount(labels, minlength=clusters)
    means: np.ndarray = np.bincount(labels, weights=values, minlength=clusters) / np.where(counts, counts, np.nan)
    return means


def _with_nulls(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _quantiles(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.quantile(values, QUANTILES)]


def _closeness(pair: tuple[int, int], nearest: np.ndarray, closeness: np.ndarray) -> float:
    """Of the two centers of a pair, of which one is the other's nearest."""
    a, b = pair
    return float(closeness[a] if nearest[a] == b else closeness[b])


def _record(run: Run, report: dict[str, Any], files: list[Path]) -> None:
    """Figures and files in the run's MLflow, at its last step."""
    step = max((int(entry.get("step", 0)) for entry in run.history()), default=0)
    named = {name: figures.OF_HEAD[name] for name in FIGURES}
    known = [{plain: head[name] for plain, name in named.items() if head[name] is not None} for head in report["heads"]]
    tracker = Tracker(run.local_folder / FOLDER, run.address)  # the run may be gone on with, and write its own journal
    tracker.metrics(figures.of_heads(known, figures.QUALITY), step)
    for path in files:
        tracker.artifact(path, FOLDER)
    tracker.close()
    for message in tracker.messages:
        tell(message)
