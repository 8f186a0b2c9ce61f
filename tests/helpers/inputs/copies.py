"""Working copies of little folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.working_copy.copy_plan import COLUMN, ID, CopyPlan, CopyType, part_name


def write_rows(folder: Path, rows: np.ndarray, sizes: tuple[int, ...]) -> EmbeddingFolder:
    """Files of one row group each."""
    folder.mkdir()
    for number, part in enumerate(np.split(rows, np.cumsum(sizes)[:-1])):
        pq.write_table(pa.table({"embedding": list(part)}), folder / f"{number}.parquet", row_group_size=len(part))
    return EmbeddingFolder.open(str(folder))


def small_plan(vectors: EmbeddingFolder, place: Path | str, dtype: CopyType = "float32", seed: int = 3) -> CopyPlan:
    """Parts of about 128 rows, row groups of 20."""
    row = 4 * vectors.dim
    return CopyPlan(vectors, Location.of(place), dtype, seed, part_bytes=128 * row, group_bytes=20 * row, block_rows=100)


def read_copy(plan: CopyPlan) -> tuple[np.ndarray, np.ndarray]:
    """Rows (R, D) and places (R,) of a copy, in its order."""
    tables = [ParquetReader(plan.location / part_name(part)).read() for part in range(plan.parts)]
    rows = [np.stack(table[COLUMN].to_numpy(zero_copy_only=False)) for table in tables]
    return np.concatenate(rows), np.concatenate([table[ID].to_numpy() for table in tables])
