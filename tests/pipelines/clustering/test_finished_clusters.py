"""Clusters that others made, or a run: what can be gone on with, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.errors import UserError
from tests.helpers.lumps import CLUSTERS, LUMP_ROWS


@pytest.mark.ray
def test_a_finished_run_gives_the_centers_prices_and_labels_of_each_head(clustered):
    found = FinishedClusters.open(str(clustered))
    table = pq.read_table(clustered / "centers.parquet")
    assert found.model.heads == [CLUSTERS, 7]
    assert found.model.metric == "cosine"
    assert found.model.prices.tolist() == table["price"].to_pylist()
    np.testing.assert_array_equal(found.head(1).centers, np.stack(table["center"].to_numpy(zero_copy_only=False))[CLUSTERS:])
    labels = pa.concat_tables(found.labels(1))
    assert labels.column_names == ["id", "label", "similarity"]
    assert len(labels) == LUMP_ROWS
    with pytest.raises(UserError, match="has heads 0 to 1; there is no head 2"):
        found.head(2)


def test_a_file_of_anybodys_centers_is_taken_and_made_of_unit_length(tmp_path):
    np.save(tmp_path / "centers.npy", np.array([[3.0, 4.0], [0.0, 2.0]]))
    found = FinishedClusters.open(str(tmp_path / "centers.npy"))
    np.testing.assert_allclose(found.model.centers, [[0.6, 0.8], [0, 1]], rtol=1e-6)
    assert found.model.prices.tolist() == [0, 0]
    assert FinishedClusters.open(str(tmp_path / "centers.npy"), "euclidean").model.centers.tolist() == [[3, 4], [0, 2]]
    with pytest.raises(UserError, match="has no labels"):
        next(found.labels())


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"centre": [[1.0, 0.0]]}, "has no column 'center'; nearest valid name: centre"),
        ({"center": [[1.0, 0.0], [1.0]]}, "different lengths"),
        ({"center": [[1.0, 0.0], None]}, "null or of different lengths"),
        ({"center": [[1.0, float("nan")]]}, "NaN or infinity"),
        ({"center": [[1.0, 0.0], [0.0, 0.0]]}, "center 1 of .* is all zeros"),
    ],
)
def test_what_is_no_center_is_refused_in_one_sentence(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=words):
        FinishedClusters.open(str(tmp_path / "c.parquet"))
