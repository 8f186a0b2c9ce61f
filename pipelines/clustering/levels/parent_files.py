"""What a clustering on two levels leaves behind of its parents: `parents.parquet`, and figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch

from algos.kmeans.level_bounds import parent_bounds
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder
from pipelines.clustering.levels.frozen_parents import FrozenParents
from pipelines.files.documents import damage_in_words
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader

PARENTS = "parents.parquet"  # in the run's folder
PARENT = "parent"  # column there, and of the tables of clusters


@dataclass(frozen=True)
class ParentSizes:
    """What labels came to, of each parent.

    Attributes:
        rows: (M,) of each.
        least: (M,) that it was to have at least.
        most: (M,) at most; `None` for no maximum.
        moved: rows that changed their parent to keep these; `None` where nothing was repaired.
    """

    rows: np.ndarray
    least: np.ndarray
    most: np.ndarray | None
    moved: int | None

    @classmethod
    def of(
        cls, labelled: LabelledFolder, min_size_ratio: float, max_size_ratio: float | None, moved: int | None
    ) -> ParentSizes | None:
        """Of labels on two levels; `None` of others. Ratios are those of the clusters."""
        parents = labelled.model.parents
        if parents is None:
            return None
        children = torch.from_numpy(parents.children.copy())
        least, most = parent_bounds(children, labelled.vectors.rows, min_size_ratio, max_size_ratio)
        return cls(parents.rows(labelled.counts), least.numpy(), None if most is None else most.numpy(), moved)

    def report(self) -> dict[str, int]:
        """Their entry in `report.json`."""
        above = {} if self.most is None else {"above_maximum": int((self.rows > self.most).sum())}
        return {
            "clusters": len(self.rows), "smallest": int(self.rows.min()), "largest": int(self.rows.max()),
            "below_minimum": int((self.rows < self.least).sum()), **above,
            **({} if self.moved is None else {"moved": self.moved}),
        }  # fmt: skip

    def figures(self) -> dict[str, float]:
        """What MLflow gets, by plain names."""
        plain = {
            "smallest": "cluster_size_min", "largest": "cluster_size_max", "below_minimum": "clusters_below_minimum",
            "above_maximum": "clusters_above_maximum", "moved": "moved",
        }  # fmt: skip
        return {plain[name]: value for name, value in self.report().items() if name in plain}

    def write(self, folder: Location, parents: FrozenParents) -> None:
        """Write `parents.parquet`, of parents in units of the data."""
        numbers, dim = pa.array(np.arange(len(self.rows)), pa.int32()), parents.centers.shape[1]
        centers = pa.FixedSizeListArray.from_arrays(pa.array(parents.centers.reshape(-1)), dim)
        sizes = {"children": parents.children, "rows": self.rows, "minimum": self.least}
        most = pa.nulls(len(self.rows), pa.int64()) if self.most is None else pa.array(self.most)
        table = pa.table({PARENT: numbers, "center": centers, "price": parents.prices} | sizes | {"maximum": most})
        (folder / PARENTS).write_parquet(table)


def read_parents(folder: Location) -> FrozenParents:
    """The parents in the folder of a finished run on two levels.

    Raises:
        UserError: for a file that is missing or damaged.
    """
    place = folder / PARENTS
    with damage_in_words(place, "restore it, or cluster again"):
        table = ParquetReader(place).read()
        centers = table["center"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
        return FrozenParents(centers, table["price"].to_numpy(), table["children"].to_numpy().astype(np.int64))


def with_parents(table: pa.Table, model: FrozenClusters) -> pa.Table:
    """A table with a row for each cluster, and behind that of its number the column `parent`, where clusters have parents."""
    if model.parents is None:
        return table
    place = table.schema.get_field_index("cluster") + 1
    return table.add_column(place, PARENT, pa.array(model.parents.parent_of, pa.int32()))
