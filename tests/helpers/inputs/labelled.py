"""What labels of a folder of vectors come to, for tests of their repairs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.clustering.label_files import LabelledFolder
from pipelines.datasets.vector_column import RowForm
from pipelines.files.location import Location
from tests.helpers.inputs.lumps import LUMP_DIM

EUCLIDEAN = RowForm("euclidean", (0.25,) * LUMP_DIM, 2.0)


def copied(labelled: LabelledFolder, to: Path) -> LabelledFolder:
    """The same labels in files of their own."""
    shutil.copytree(labelled.folder.path, to)
    return replace(labelled, folder=Location.of(str(to)))


def table_of(labelled: LabelledFolder) -> pa.Table:
    """All labels, in their order."""
    return pa.concat_tables(pq.read_table(f"{labelled.folder.path}/{part.name}") for part in labelled.files)


def similarities(labelled: LabelledFolder, centers: np.ndarray) -> np.ndarray:
    """Cosines, or minus half the squared distances, of all rows and centers (K, D): (N, K) float64."""
    vectors = labelled.vectors
    rows = [vectors.read(shard, group)[0] for shard, file in enumerate(vectors.shards) for group in range(len(file.row_groups))]
    all_rows = np.concatenate(rows).astype(np.float64)
    if labelled.model.metric == "cosine":
        return all_rows @ centers.T
    return -np.square(all_rows[:, None] - centers).sum(axis=2) / 2
