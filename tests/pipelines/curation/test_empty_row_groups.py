"""Files with empty row groups, as a writer that is fed bit by bit leaves them: each command gives what it gives without."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curation.assign import assign
from pipelines.curation.balanced_sample import write_sample
from pipelines.curation.duplicates.find import find_duplicates
from pipelines.curation.join_labels import join_labels
from pipelines.curation.quality import _sample
from pipelines.datasets.embedding_folder import EmbeddingFolder

GROUPS = [0, 2, 0, 1, 0]
VECTORS = [[1.0, 0.1], [0.1, 1.0], [2.0, 0.2]]


def groups_of(path) -> list[int]:
    metadata = pq.read_metadata(path)
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


@pytest.fixture
def rows(tmp_path):
    table = pa.table({"name": ["a", "b", "c"], "stars": [1, 2, 3], "embedding": pa.array(VECTORS, pa.list_(pa.float32()))})
    with pq.ParquetWriter(tmp_path / "rows.parquet", table.schema) as writer:
        for first, count in zip(np.cumsum([0, *GROUPS[:-1]]).tolist(), GROUPS, strict=True):
            writer.write_table(table.slice(first, count))
    assert groups_of(tmp_path / "rows.parquet") == GROUPS
    return str(tmp_path / "rows.parquet")


@pytest.mark.ray
def test_labels_are_assigned_joined_and_sampled(local_ray, rows, tmp_path):
    np.save(tmp_path / "c.npy", np.eye(2))
    assign(str(tmp_path / "c.npy"), rows, str(tmp_path / "assigned"), id_column="name")
    join_labels(str(tmp_path / "assigned"), str(tmp_path / "joined"))
    joined = pq.read_table(tmp_path / "joined" / "rows.parquet")
    assert (joined["name"].to_pylist(), joined["cluster"].to_pylist()) == (["a", "b", "c"], [0, 1, 0])
    assert groups_of(tmp_path / "joined" / "rows.parquet") == GROUPS
    write_sample(str(tmp_path / "assigned"), str(tmp_path / "sample.parquet"), per_cluster=2)
    assert sorted(pq.read_table(tmp_path / "sample.parquet")["id"].to_pylist()) == ["a", "b", "c"]


@pytest.mark.ray
@pytest.mark.parametrize(("keep_by", "away"), [(None, "c"), ("stars", "a")])
def test_near_duplicates_are_found(local_ray, rows, tmp_path, keep_by, away):
    found = find_duplicates(rows, str(tmp_path / "d"), threshold=0.99, keep_by=keep_by, id_column="name")
    assert (found.report["rows"], found.report["removed"]) == (3, 1)
    assert pq.read_table(tmp_path / "d" / "removed.parquet")["id"].to_pylist() == [away]


def test_a_sample_for_the_silhouette_is_drawn(rows):
    drawn, places = _sample(EmbeddingFolder.open(rows), 3, 0)
    assert (drawn.shape, places.tolist()) == ((3, 2), [0, 1, 2])
