"""`quorum cluster --start-from`: finished clusters that a run begins with, kept in its own folder because theirs may go.

A cluster keeps its number. In each pass the old centers begin at the weight of all their rows, and prices move by the step of the
pass that would have come next: where rows are as they were, little changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from algos.kmeans.metric import Metric
from pipelines.clustering.finished_clusters import HEAD, PRICE, FinishedClusters
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.result_files import cluster_table
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.documents import damage_in_words
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader

START = "start.parquet"  # in the run's folder
ROWS, PASSES = "rows", "passes"  # columns of the file, beside those of `centers.parquet`


@dataclass(frozen=True)
class WarmStart:
    """What a run starts from.

    Attributes:
        model: centers and prices in units of the data.
        rows: (sum of K,) rows of each cluster, if it has now the share that it had; at least 1.
        passes: that the prices have had to settle.
        min_size_ratio: the minimum that the clusters had to keep; `None` where it is not known.
        max_size_ratio: the maximum likewise; `None` for none, or where it is not known.
    """

    model: FrozenClusters
    rows: np.ndarray
    passes: int
    min_size_ratio: float | None = None
    max_size_ratio: float | None = None

    @classmethod
    def of(cls, place: str, vectors: EmbeddingFolder, metric: Metric, heads: Sequence[int], passes: int) -> WarmStart:
        """The clusters of a finished run or of a file, as a start for a clustering of these vectors.

        Args:
            place: of a run or a file of centers.
            vectors: to be clustered.
            metric: by which.
            heads: K of each head; none takes those of the clusters.
            passes: of the clustering: as many have made the prices in a file.

        Raises:
            UserError: for a run that is not finished, and for clusters of another metric, size or number.
        """
        found = FinishedClusters.open(place, metric)
        model, dim = found.model, found.model.centers.shape[1]
        if model.metric != metric:
            raise UserError(f"the clusters of {place} are {model.metric}, this clustering is {metric}; set metric {model.metric}")
        if model.parents is not None:
            raise UserError(f"{place} has clusters on two levels, which nothing starts from; give a run of one level, or a file")
        if dim != vectors.dim:
            raise UserError(
                f"{vectors.place} has rows of {vectors.dim} numbers, the centers of {place} have {dim}; "
                "start from clusters of the same embedding"
            )
        if heads and list(heads) != model.heads:
            raise UserError(
                f"num_clusters asks for heads of {list(heads)} clusters, {place} has {model.heads}; leave num_clusters out, or "
                "start without start_from"
            )
        shares = [np.full(clusters, 1 / clusters) for clusters in model.heads]
        before = passes if model.prices.any() else 0
        if found.run is not None and found.config is not None:
            sizes = found.sizes()[ROWS].to_numpy()
            shares, before = [mine / mine.sum() for mine in model.per_head(sizes)], int(found.config["passes"])
        rows = np.maximum(np.floor(np.concatenate(shares) * vectors.rows), 1.0)
        kept = found.config or {}
        return cls(model, rows, before, kept.get("min_size_ratio"), kept.get("max_size_ratio"))

    @classmethod
    def read(cls, folder: Location, metric: Metric) -> WarmStart:
        """The start that is kept in a run's folder.

        Raises:
            UserError: for a file that is damaged.
        """
        place = folder / START
        table = ParquetReader(place).read()
        with damage_in_words(place, "restore it, or start anew"):
            rows, passes = (table[name].to_numpy() for name in (ROWS, PASSES))
            table.select([HEAD, PRICE])  # without which a file of anybody's would do
        return cls(FinishedClusters.open(str(place), metric).model, rows, int(passes[0]))

    def write(self, folder: Location) -> None:
        """Keep it in a run's folder."""
        passes = np.full(len(self.rows), self.passes)
        table = cluster_table(self.model).append_column(ROWS, [self.rows]).append_column(PASSES, [passes])
        (folder / START).write_parquet(table, write_page_checksum=True)
