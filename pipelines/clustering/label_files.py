"""Files of labels: which rows each holds, how it is written whole or not at all, and what the labels follow from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import torch

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.metric import Metric
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from pipelines.clustering.levels.frozen_parents import FrozenParents
from pipelines.datasets.embedding_folder import EmbeddingFolder, RowSpan
from pipelines.datasets.vector_column import RowForm
from pipelines.files.location import Location

TASK_ROWS, FEWEST_ROWS = 1 << 17, 1 << 14  # of one file of labels, at least one row group
FILES = 16  # of fewer rows than so many files of `TASK_ROWS`: processors that end together


@dataclass(frozen=True)
class FrozenClusters:
    """What labels follow from.

    Attributes:
        heads: K of each.
        centers: (sum of K, D); unit vectors where the metric is cosine.
        prices: (sum of K,) added to similarities: x . c of unit rows, or x . c - |c|^2 / 2.
        metric: cosine or euclidean.
        first: number of the first head, by which the labels' columns are named.
        parents: of the clusters, where these are on two levels: a row's label is the best cluster of its best parent.
    """

    heads: list[int]
    centers: np.ndarray
    prices: np.ndarray
    metric: Metric = "cosine"
    first: int = 0
    parents: FrozenParents | None = None

    @property
    def numbers(self) -> range:
        """Numbers of the heads."""
        return range(self.first, self.first + len(self.heads))

    @classmethod
    def of(cls, kmeans: OnlineConstrainedKMeans) -> FrozenClusters:
        """The present state of a clustering."""
        metric: Metric = "cosine" if kmeans.spherical else "euclidean"
        parents = None
        if isinstance(kmeans, NestedConstrainedKMeans):
            above = (kmeans.parent_centers, kmeans.parent_prices, kmeans.child_counts)
            parents = FrozenParents(*(each.numpy(force=True) for each in above))
        centers, prices = (each.numpy(force=True) for each in (kmeans.centers, kmeans.prices))
        return cls(list(kmeans.num_clusters), centers, prices, metric, parents=parents)

    def among(self, form: RowForm) -> FrozenClusters:
        """These clusters of the data's own units, as rows of a form meet them."""
        return self._each(form.take, lambda prices: (prices / form.unit).astype(np.float32))

    def in_data_units(self, form: RowForm) -> FrozenClusters:
        """These clusters of rows of a form, in units of the data; those of directions stay as they are."""
        if self.metric == "cosine":
            return self
        return self._each(form.restore, lambda prices: prices.astype(np.float64) * form.unit)

    def without_prices(self) -> FrozenClusters:
        """These clusters where a row's label is the nearest center, or that of the nearest parent."""
        return self._each(lambda centers: centers, np.zeros_like)

    @property
    def priced(self) -> bool:
        """Whether a label may be another than that of the nearest center."""
        return bool(self.prices.any()) or (self.parents is not None and bool(self.parents.prices.any()))

    def above(self) -> FrozenClusters:
        """The parents, as clusters of one level.

        Raises:
            ValueError: where there are none.
        """
        if self.parents is None:
            raise ValueError("these clusters have no parents")
        return FrozenClusters([len(self.parents.children)], self.parents.centers, self.parents.prices, self.metric)

    def _each(self, centers: Callable[[np.ndarray], np.ndarray], prices: Callable[[np.ndarray], np.ndarray]) -> FrozenClusters:
        """These clusters, and their parents, with other centers and prices."""
        parents = self.parents
        if parents is not None:
            parents = replace(parents, centers=centers(parents.centers), prices=prices(parents.prices))
        return replace(self, centers=centers(self.centers), prices=prices(self.prices), parents=parents)

    def per_head(self, values: np.ndarray) -> list[np.ndarray]:
        """Values of the clusters of each head, (K, ...), out of those of all heads."""
        return np.split(values, np.cumsum(self.heads)[:-1])

    def kmeans(self, device: str) -> OnlineConstrainedKMeans:
        """The clustering, to ask for labels."""
        centers, spherical = torch.from_numpy(self.centers.copy()), self.metric == "cosine"
        if self.parents is None:
            made = OnlineConstrainedKMeans(self.heads, centers.shape[1], initial_centers=centers, spherical=spherical)
        else:
            above, prices = (torch.from_numpy(each.copy()) for each in (self.parents.centers, self.parents.prices))
            children = torch.from_numpy(self.parents.children.copy())
            made = NestedConstrainedKMeans(above, prices, children, centers, spherical=spherical)
        made.duals.copy_(torch.from_numpy(self.prices.copy()))
        return made.to(device)


class LabelFile(RowSpan):
    """One file of labels, by its number: row groups of one file of vectors, and their places."""

    @property
    def name(self) -> str:
        """Of the file."""
        return f"part-{self.number:06d}.parquet"


def label_files(vectors: EmbeddingFolder, least_rows: int | None = None) -> list[LabelFile]:
    """The files of labels to write, in the order of the vectors."""
    least = least_rows or min(TASK_ROWS, max(vectors.rows // FILES, FEWEST_ROWS))
    return [LabelFile(**vars(span)) for span in vectors.spans(least)]


def changed_rows(table: pa.Table, heads: int) -> np.ndarray:
    """Rows (H,) of a table of labels whose label is another than the one they started with; 0 where that is not known."""
    if start_column(0) not in table.column_names:
        return np.zeros(heads, np.int64)
    pairs = ((table[f"label_head{head}"], table[start_column(head)]) for head in range(heads))
    return np.array([int((now.to_numpy() != before.to_numpy()).sum()) for now, before in pairs])


def start_column(head: int) -> str:
    """Column of the labels under the clusters that a run started from."""
    return f"start_label_head{head}"


@dataclass(frozen=True)
class LabelledFolder:
    """Labels in files, and what they come to.

    Attributes:
        vectors: the rows.
        model: that the labels follow from.
        files: the files of labels.
        folder: where they are.
        counts: (sum of K,) rows of each cluster of all heads.
        sums: (sum of K,) their similarities, in units of rows as they are read.
        far: rows more than ten times as far from the origin as Euclidean rows are in root mean square.
        changed: (files, H) rows with another label than under the clusters that the run started from; `None` without such.
    """

    vectors: EmbeddingFolder
    model: FrozenClusters
    files: list[LabelFile]
    folder: Location
    counts: np.ndarray
    sums: np.ndarray
    far: int = 0
    changed: np.ndarray | None = None

    def since_start(self) -> list[dict[str, float]]:
        """Of each head, for its report: rows that changed their cluster, and their share."""
        if self.changed is None:
            return [{} for _ in self.model.heads]
        return [{"changed_since_start": n, "changed_share": n / self.vectors.rows} for n in self.changed.sum(axis=0).tolist()]
