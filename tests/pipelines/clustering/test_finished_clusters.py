"""Clusters that others made, or a run: what can be gone on with, and what is refused."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.result_files import cluster_table
from pipelines.curation.assign import assign
from pipelines.errors import UserError
from tests.helpers.inputs.lumps import CLUSTERS


@pytest.mark.ray
def test_a_finished_run_gives_the_centers_and_prices_of_each_head(clustered):
    found = FinishedClusters.open(str(clustered))
    table = pq.read_table(clustered / "centers.parquet")
    assert found.model.heads == [CLUSTERS, 7]
    assert found.model.metric == "cosine"
    assert found.model.prices.tolist() == table["price"].to_pylist()
    np.testing.assert_array_equal(found.head(1).centers, np.stack(table["center"].to_numpy(zero_copy_only=False))[CLUSTERS:])
    with pytest.raises(UserError, match="has heads 0 to 1; there is no head 2"):
        found.head(2)


@pytest.mark.ray
@pytest.mark.parametrize("content", [b"PAR1", None], ids=["cut short", "other rows"])
def test_sizes_that_are_damaged_are_said_with_their_file(clustered, tmp_path, content):
    run = shutil.copytree(clustered, tmp_path / "run")
    if content is None:
        pq.write_table(pq.read_table(run / "sizes.parquet").slice(1), run / "sizes.parquet")
    else:
        (run / "sizes.parquet").write_bytes(content)
    with pytest.raises(UserError, match=r"run/sizes\.parquet is (cut short or )?damaged"):
        FinishedClusters.open(str(run)).sizes()
    with pytest.raises(UserError, match=r"run/sizes\.parquet is (cut short or )?damaged"):
        assign(str(run), FinishedClusters.open(str(run)).config["data"], str(tmp_path / "labels"))
    assert not (tmp_path / "labels").exists()


def test_a_file_of_anybodys_centers_is_taken_and_made_of_unit_length(tmp_path):
    np.save(tmp_path / "centers.npy", np.array([[3.0, 4.0], [0.0, 2.0]]))
    found = FinishedClusters.open(str(tmp_path / "centers.npy"))
    np.testing.assert_allclose(found.model.centers, [[0.6, 0.8], [0, 1]], rtol=1e-6)
    assert found.model.prices.tolist() == [0, 0]
    assert FinishedClusters.open(str(tmp_path / "centers.npy"), "euclidean").model.centers.tolist() == [[3, 4], [0, 2]]


@pytest.mark.parametrize(
    ("dtype", "factor"), [(np.float32, 1e-30), (np.float32, 1e30), (np.float64, 1e-300), (np.float64, 1e20), (np.float64, 1e300)]
)
def test_a_direction_is_the_same_however_long_the_center_is(tmp_path, dtype, factor):
    centers = np.random.default_rng(0).normal(size=(4, 8))
    np.save(tmp_path / "scaled.npy", (centers * np.array([[1], [1], [factor], [factor]])).astype(dtype))
    np.save(tmp_path / "plain.npy", centers)
    found, plain = (FinishedClusters.open(str(tmp_path / name)).model.centers for name in ("scaled.npy", "plain.npy"))
    np.testing.assert_allclose(found, plain, atol=1e-6)


def test_a_center_that_is_nearly_of_unit_length_is_made_so_however_many_numbers_it_has(tmp_path):
    center = np.full((1, 10_000), 1.0003 / 100)
    np.save(tmp_path / "c.npy", center)
    assert np.linalg.norm(FinishedClusters.open(str(tmp_path / "c.npy")).model.centers) == pytest.approx(1, abs=2e-6)


def test_an_array_of_other_than_real_numbers_is_refused(tmp_path):
    np.save(tmp_path / "c.npy", np.ones((2, 3), complex))
    with pytest.raises(UserError, match="has an array of 2 x 3 numbers of type complex128; centers are K x D real numbers"):
        FinishedClusters.open(str(tmp_path / "c.npy"))


@pytest.mark.parametrize("shape", [None, (10**12, 10)])
def test_an_array_that_is_empty_or_says_it_is_larger_than_any_memory_is_damaged(tmp_path, shape):
    file = io.BytesIO()
    if shape is not None:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    (tmp_path / "c.npy").write_bytes(file.getvalue())
    with pytest.raises(UserError, match=r"c\.npy is cut short or damaged"):
        FinishedClusters.open(str(tmp_path / "c.npy"))


def test_a_file_in_another_order_keeps_the_numbers_of_its_clusters(tmp_path):
    columns = {"head": [1, 0, 0, 1], "cluster": [1, 1, 0, 0], "center": [[0.0, -1.0], [0.0, 1.0], [1.0, 0.0], [-1.0, 0.0]]}
    pq.write_table(pa.table(columns | {"price": [4.0, 2.0, 1.0, 3.0]}), tmp_path / "c.parquet")
    found = FinishedClusters.open(str(tmp_path / "c.parquet")).model
    assert found.heads == [2, 2]
    assert found.centers.tolist() == [[1, 0], [0, 1], [-1, 0], [0, -1]]
    assert found.prices.tolist() == [1, 2, 3, 4]


def test_a_file_of_euclidean_clusters_says_so(tmp_path):
    model = FrozenClusters([2], np.array([[1e4, 0.0], [1e4, 3.0]]), np.zeros(2), "euclidean")
    pq.write_table(cluster_table(model), tmp_path / "c.parquet")
    found = FinishedClusters.open(str(tmp_path / "c.parquet")).model
    assert found.metric == "euclidean"
    assert found.centers.tolist() == [[1e4, 0], [1e4, 3]]
    with pytest.raises(UserError, match="holds centers of the euclidean metric; set --metric euclidean"):
        FinishedClusters.open(str(tmp_path / "c.parquet"), "cosine")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"centre": [[1.0, 0.0]]}, "has no column 'center'; nearest valid name: centre"),
        ({"center": [[1.0, 0.0], [1.0]]}, "different lengths"),
        ({"center": [[1.0, 0.0], None]}, "null or of different lengths"),
        ({"center": pa.array([], pa.null())}, "column 'center' of .* is null; centers are lists of numbers"),
        ({"center": [1.0, 0.0]}, "column 'center' of .* is double; centers are lists of numbers"),
        ({"center": [["a"], ["b"]]}, "is list<element: string>; centers are lists of numbers"),
        ({"center": pa.array([], pa.list_(pa.float32()))}, "holds no center"),
        ({"center": pa.array([[], []], pa.list_(pa.float32()))}, "holds no center"),
        ({"center": [[1.0, float("nan")]]}, "NaN or infinity"),
        ({"center": [[1.0, 0.0], [0.0, 0.0]]}, "center 1 of .* is all zeros"),
        ({"center": [[1.0, 0.0], [0.0, 1.0]], "price": [0.0, float("nan")]}, "NaN or infinity"),
        ({"center": [[1.0, 0.0], [0.0, 1.0]], "price": [0.0, None]}, "NaN or infinity"),
        ({"center": [[1.0, 0.0], [0.0, 1.0]], "price": ["0", "1"]}, "column 'price' of .* is string; it holds a number for each"),
        ({"center": [[1.0, 0.0], [0.0, 1.0]], "cluster": ["a", "b"]}, "column 'cluster' of .* is string"),
        ({"center": [[1.0, 0.0], [0.0, 1.0]], "head": [1, 1]}, "has gaps or repetitions"),
        ({"center": [[1.0, 0.0], [0.0, 1.0]], "cluster": [0, 2]}, "has gaps or repetitions"),
    ],
)
def test_what_is_no_center_is_refused_in_one_sentence(tmp_path, columns, words):
    pq.write_table(pa.table(columns), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=words):
        FinishedClusters.open(str(tmp_path / "c.parquet"))


def test_a_file_of_another_kind_is_not_called_damaged(tmp_path):
    np.savez(tmp_path / "c.npz", np.eye(2))
    with pytest.raises(UserError, match=r"c\.npz is no file of centers; give an \.npy"):
        FinishedClusters.open(str(tmp_path / "c.npz"))
    pq.write_table(pa.table({"center": [[3.0, 4.0]]}), tmp_path / "centers")  # its name is no matter
    assert FinishedClusters.open(str(tmp_path / "centers")).model.heads == [1]
