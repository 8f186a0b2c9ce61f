"""Clusters to go on with: those of a finished `quorum cluster`, or centers from a file of anybody's."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any, get_args

import numpy as np
import pyarrow as pa

from algos.kmeans.metric import Metric
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.levels.parent_files import PARENT, read_parents
from pipelines.clustering.result_files import CENTERS, CLUSTERS_FORMAT, CLUSTERS_MANIFEST, METRIC_KEY, SIZES
from pipelines.config.recipe import stored_values
from pipelines.datasets.vector_column import as_lists, directions, holds_numbers, list_lengths
from pipelines.errors import UserError, nearest
from pipelines.files.conversions import is_of_another_kind
from pipelines.files.documents import damage_in_words, read_document
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.runs.run_folder import Run

METRICS: tuple[Metric, ...] = ("cosine", "euclidean")
KIND = "cluster"  # of the runs
HEAD, CLUSTER, CENTER, PRICE = "head", "cluster", "center", "price"  # columns of `centers.parquet`
SIZE_COLUMNS = ["head", "rows", "similarity"]  # of `sizes.parquet`, that are read


@dataclass(frozen=True)
class FinishedClusters:
    """The clusters, and where they came from.

    Attributes:
        location: the run's folder, or the file.
        model: centers and prices of all heads.
        run: the run; `None` for a file.
        config: plain values of the run's configuration; `None` for a file.
        rows: that were labelled; 0 for a file.
    """

    location: Location
    model: FrozenClusters
    run: Run | None = None
    config: dict[str, Any] | None = None
    rows: int = 0

    @classmethod
    def open(cls, place: str, metric: Metric | None = None) -> FinishedClusters:
        """The clusters of a run, of a Parquet file with a column `center` (and perhaps `head` and `price`), or of an `.npy`.

        Args:
            place: a local path or URI.
            metric: of the centers in a file of anybody's, cosine where none is named; a run and its files know their own.

        Raises:
            UserError: for a run that is not finished, a file that holds no centers, or one of another metric.
        """
        location = Location.of(place)
        if location.is_file():
            return cls(location, _read_centers(location, metric, alone=True))
        if not location.exists():
            raise UserError(f"{place} does not exist; give the folder of a quorum cluster run, or a file of centers")
        run = Run.open(place, kind=KIND)
        if not (run.location / CLUSTERS_MANIFEST).exists():
            raise UserError(f"{place} is not finished; go on with it: quorum cluster --resume {quote(str(place))}")
        manifest = run.location / CLUSTERS_MANIFEST
        remedy = "take the labels again: quorum cluster --resume"
        content = read_document(manifest, CLUSTERS_FORMAT, remedy)
        with damage_in_words(manifest, remedy):
            metric = METRICS[METRICS.index(content.get("metric", "cosine"))]
            heads, rows = [int(clusters) for clusters in content["heads"]], int(content["rows"])
        table = run.location / CENTERS
        model = _read_centers(table, metric)
        if model.heads != heads or PRICE not in ParquetReader(table).schema.names:
            raise UserError(f"{table} is not of the run: it lacks prices, or has other heads than {heads}; restore it")
        if "levels" in content:
            model = replace(model, parents=read_parents(run.location))
        return cls(location, model, run, stored_values(run.config_file()), rows)

    def sizes(self) -> pa.Table:
        """Rows and mean similarity of each cluster, as the run has them.

        Raises:
            UserError: for a file that is damaged.
        """
        assert self.run is not None  # a file of anybody's has none
        place = self.run.location / SIZES
        table = ParquetReader(place).read()
        with damage_in_words(place, "restore it"):
            if len(table.select(SIZE_COLUMNS)) != sum(self.model.heads):
                raise ValueError(f"it has {len(table)} rows, for {sum(self.model.heads)} clusters")
        return table

    def head(self, number: int) -> FrozenClusters:
        """The clusters of one head.

        Raises:
            UserError: for a head that is not there.
        """
        if not 0 <= number < len(self.model.heads):
            which = "one head, 0" if len(self.model.heads) == 1 else f"heads 0 to {len(self.model.heads) - 1}"
            raise UserError(f"{self.location} has {which}; there is no head {number}")
        centers, prices = (self.model.per_head(values)[number] for values in (self.model.centers, self.model.prices))
        return replace(self.model, heads=[self.model.heads[number]], centers=centers, prices=prices, first=number)


def open_clusters(place: str, metric: str | None) -> FinishedClusters:
    """The clusters of a run, or of a file by the metric that is asked for: its own or cosine where none is.

    Raises:
        UserError: for a metric that is none, or another than the clusters', and as `FinishedClusters.open`.
    """
    if metric is not None and metric not in METRICS:
        raise UserError(f"--metric is {metric!r}; give {' or '.join(METRICS)}{nearest(metric, METRICS)}")
    found = FinishedClusters.open(place, next((one for one in METRICS if one == metric), None))
    if metric not in (None, found.model.metric):
        raise UserError(f"the clusters of {place} are {found.model.metric}, and --metric asks for {metric}; leave it out")
    return found


def _read_centers(place: Location, metric: Metric | None, *, alone: bool = False) -> FrozenClusters:
    """Centers in a file, the heads one after another; prices are 0 where it has none. `alone`: without the run's folder."""
    if is_of_another_kind(place.name) and not place.name.endswith(".npy"):
        raise UserError(f"{place} is no file of centers; give an .npy with an array (K, D), or Parquet with a column {CENTER!r}")
    with damage_in_words(place, "give a file of centers, such as centers.parquet of quorum cluster"):
        centers, heads, prices, stored = _array(place) if place.name.endswith(".npy") else _table(place, alone=alone)
    if stored is not None and metric not in (None, stored):
        raise UserError(f"{place} holds centers of the {stored} metric; set --metric {stored}, or leave it out")
    metric = stored or metric or "cosine"
    if centers.size == 0 or not (np.isfinite(centers).all() and np.isfinite(prices).all()):
        raise UserError(f"{place} holds {'NaN or infinity' if centers.size else 'no center'}; give a file of centers, one a row")
    if metric == "cosine":
        unit = directions(centers)
        if (none := np.isnan(unit).any(axis=1)).any():
            raise UserError(f"center {int(none.argmax())} of {place} is all zeros and has no direction; remove it")
        with np.errstate(over="ignore"):
            lengths = (centers * unit).sum(axis=1)
        ours = np.allclose(lengths, 1, atol=1e-5)  # they keep their bits
        centers, prices = (centers if ours else unit).astype(np.float32), prices.astype(np.float32)
    return FrozenClusters(heads, centers, prices, metric)


def _array(place: Location) -> tuple[np.ndarray, list[int], np.ndarray, Metric | None]:
    try:
        centers = np.load(io.BytesIO(place.read_bytes()), allow_pickle=False)
    except (EOFError, MemoryError) as error:  # an empty file, and one that says it is larger than any memory
        raise ValueError(str(error)) from error
    if centers.ndim != 2 or centers.dtype.kind not in "fiu":
        shape = " x ".join(map(str, centers.shape)) or "no"
        raise UserError(f"{place} has an array of {shape} numbers of type {centers.dtype}; centers are K x D real numbers")
    return _floats(centers), [len(centers)], np.zeros(len(centers), np.float32), None


def _table(place: Location, *, alone: bool) -> tuple[np.ndarray, list[int], np.ndarray, Metric | None]:
    table = ParquetReader(place).read()
    names = table.column_names
    if alone and {HEAD, CENTER, PRICE, PARENT} <= set(names):
        raise UserError(f"{place} has clusters on two levels; give the folder of the run, which has their parents too")
    if CENTER not in names:
        raise UserError(f"{place} has no column {CENTER!r}{nearest(CENTER, names)}; it has {', '.join(names[:12])}")
    if not holds_numbers(table[CENTER].type):
        raise UserError(f"column {CENTER!r} of {place} is {table[CENTER].type}; centers are lists of numbers, one a row")
    for name in {HEAD, CLUSTER, PRICE} & set(names):
        if not (pa.types.is_floating(kind := table[name].type) or pa.types.is_integer(kind)):
            raise UserError(
                f"column {name!r} of {place} is {kind}; it holds a number for each center: write it so, or leave it out"
            )
    lengths = np.unique(list_lengths(lists := as_lists(table[CENTER])))
    if len(lengths) > 1 or -1 in lengths:
        raise UserError(f"{place} has centers that are null or of different lengths; give one of the same length in each row")
    order, heads = _in_order(place, table)
    centers = _floats(lists.flatten().to_numpy(zero_copy_only=False).reshape(len(table), lengths.max(initial=0)))[order]
    prices = _floats(table[PRICE].to_numpy())[order] if PRICE in names else np.zeros(len(table), np.float32)
    said = (table.schema.metadata or {}).get(METRIC_KEY, b"").decode()
    return centers, heads, prices, next((metric for metric in get_args(Metric) if metric == said), None)


def _in_order(place: Location, table: pa.Table) -> tuple[np.ndarray, list[int]]:
    """The rows by head and cluster, as far as the table names them, and the clusters of each head."""
    head, cluster = (
        table[name].to_numpy() if name in table.column_names else np.zeros(len(table), int) for name in (HEAD, CLUSTER)
    )
    order = np.lexsort((np.arange(len(table)), cluster, head))
    numbers, sizes = np.unique(head, return_counts=True)
    places = np.arange(len(table)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    if (numbers != np.arange(len(numbers))).any() or (CLUSTER in table.column_names and (cluster[order] != places).any()):
        raise UserError(
            f"{place} has gaps or repetitions in its columns {HEAD!r} and {CLUSTER!r}; number each head's clusters from 0"
        )
    return order, sizes.tolist()


def _floats(values: np.ndarray) -> np.ndarray:
    """Numbers as float32, or as float64 where they are stored so."""
    return values.astype(np.float64 if values.dtype == np.float64 else np.float32)
