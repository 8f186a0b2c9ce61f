"""What a clustering can start from, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clustering.config import ClusterConfig
from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.launch import _remarks_of_start
from pipelines.clustering.result_files import CLUSTERS_MANIFEST
from pipelines.clustering.warm_start import WarmStart
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.location import Location
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_ROWS, PASSES


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> EmbeddingFolder:
    """Ten rows of two numbers."""
    made = tmp_path_factory.mktemp("rows")
    pq.write_table(pa.table({"embedding": np.eye(2)[[0, 1] * 5].tolist()}), made / "x.parquet")
    return EmbeddingFolder.open(str(made))


@pytest.mark.ray
def test_a_run_gives_its_clusters_the_rows_they_had_and_the_passes_they_took(clustered, lumps, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    shutil.copy(lumps / "b.parquet", half)
    vectors = EmbeddingFolder.open(str(half))
    start = WarmStart.of(str(clustered), vectors, "cosine", [], 9)
    sizes = pq.read_table(clustered / "sizes.parquet")["rows"].to_numpy()
    assert start.model.heads == [CLUSTERS, 7]
    assert start.passes == PASSES
    assert start.rows.tolist() == np.maximum(sizes * vectors.rows // LUMP_ROWS, 1).tolist()
    start.write(Location.of(str(tmp_path)))
    kept = WarmStart.read(Location.of(str(tmp_path)), "cosine")
    assert (kept.passes, kept.rows.tolist(), kept.model.heads) == (PASSES, start.rows.tolist(), start.model.heads)
    for name in ("centers", "prices"):
        np.testing.assert_array_equal(getattr(kept.model, name), getattr(FinishedClusters.open(str(clustered)).model, name))


def test_anybodys_centers_share_the_rows_and_have_settled_if_they_have_prices(vectors, tmp_path):
    columns = {"head": [0, 0, 1, 1, 1], "center": [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]}
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    start = WarmStart.of(str(tmp_path / "c.parquet"), vectors, "cosine", [2, 3], 4)
    assert (start.rows.tolist(), start.passes) == ([5, 5, 3, 3, 3], 0)
    pq.write_table(pa.table(columns | {"price": [0.1, 0.0, 0.0, 0.0, 0.2]}), tmp_path / "c.parquet")
    assert WarmStart.of(str(tmp_path / "c.parquet"), vectors, "cosine", [], 4).passes == 4


def test_bounds_that_are_not_taken_over_are_said(vectors, tmp_path):
    np.save(tmp_path / "two.npy", np.eye(2))
    model = FinishedClusters.open(str(tmp_path / "two.npy")).model
    started = WarmStart(model, np.ones(2), 3, max_size_ratio=1.5)
    config = ClusterConfig(data=str(vectors.location), to=str(tmp_path / "to"), start_from="before")
    (said,) = _remarks_of_start(config, started)
    assert said.startswith("before kept max_size_ratio 1.5, which this run is not asked for")
    assert not list(_remarks_of_start(replace(config, max_size_ratio=2.0), started))
    assert not list(_remarks_of_start(config, replace(started, max_size_ratio=None)))
    (said,) = _remarks_of_start(config, replace(started, min_size_ratio=0.9, max_size_ratio=None))
    assert said.startswith("before kept min_size_ratio 0.9, and this run is asked for 0.4: clusters may be smaller")
    assert not list(_remarks_of_start(config, replace(started, min_size_ratio=0.4, max_size_ratio=None)))


def test_clusters_of_other_rows_are_refused_in_one_sentence(vectors, tmp_path):
    np.save(tmp_path / "wide.npy", np.ones((2, 3)))
    np.save(tmp_path / "two.npy", np.eye(2))
    with pytest.raises(UserError, match=r"has rows of 2 numbers, the centers of .*wide\.npy have 3"):
        WarmStart.of(str(tmp_path / "wide.npy"), vectors, "cosine", [], 5)
    with pytest.raises(UserError, match=r"asks for heads of \[3\] clusters, .*two\.npy has \[2\]; leave num_clusters out"):
        WarmStart.of(str(tmp_path / "two.npy"), vectors, "cosine", [3], 5)


@pytest.mark.ray
def test_clusters_of_another_metric_and_unfinished_ones_are_refused(clustered, lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    with pytest.raises(UserError, match="are cosine, this clustering is euclidean; set metric cosine"):
        WarmStart.of(str(clustered), vectors, "euclidean", [], 5)
    copy = clustered.parent / "unfinished"
    shutil.copytree(clustered, copy)
    (copy / CLUSTERS_MANIFEST).unlink()
    with pytest.raises(UserError, match="is not finished; go on with it: quorum cluster --resume"):
        WarmStart.of(str(copy), vectors, "cosine", [], 5)
