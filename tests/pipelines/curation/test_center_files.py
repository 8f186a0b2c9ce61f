"""Centers for NumPy, Parquet and faiss, with and without prices."""

from __future__ import annotations

import importlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.label_files import FrozenClusters
from pipelines.curation.center_files import with_prices, write_centers
from pipelines.errors import UserError
from quorum import centers


@pytest.fixture
def clusters(tmp_path):
    """Two heads of centers, the second with prices."""
    center = [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]]
    table = {"head": pa.array([0, 1, 1], pa.int32()), "center": center, "price": pa.array([0.0, 0.25, 0.0], pa.float32())}
    pq.write_table(pa.table(table), tmp_path / "centers.parquet")
    return str(tmp_path / "centers.parquet")


def test_numpy_gets_the_centers_of_a_head_and_hears_of_prices(clusters, tmp_path):
    made = write_centers(clusters, str(tmp_path / "c.npy"))
    assert np.load(tmp_path / "c.npy").tolist() == [[1, 0]]
    assert (made.clusters, made.dim, made.priced) == (1, 2, False)
    assert write_centers(clusters, str(tmp_path / "d.npy"), head=1).priced
    assert not write_centers(clusters, str(tmp_path / "e.npy"), head=1, prices=True).priced
    np.testing.assert_allclose(np.load(tmp_path / "e.npy"), [[0, 1, 0.25], [0.6, 0.8, 0]], rtol=1e-6)


def test_parquet_is_clusters_that_can_be_gone_on_with(clusters, tmp_path):
    write_centers(clusters, str(tmp_path / "c.parquet"), head=1)
    found = FinishedClusters.open(str(tmp_path / "c.parquet"))
    assert found.model.heads == [2]
    assert found.model.prices.tolist() == [0.25, 0]


def test_euclidean_centers_in_float64_keep_every_bit(tmp_path):
    rows = np.array([[1e9 + 1 / 3, 0.1], [1e9 + 2 / 3, 3.0]])
    np.save(tmp_path / "far.npy", rows)
    write_centers(str(tmp_path / "far.npy"), str(tmp_path / "c.parquet"), metric="euclidean")
    found = FinishedClusters.open(str(tmp_path / "c.parquet"), "euclidean")
    assert found.model.centers.tolist() == rows.tolist()
    assert pq.read_table(tmp_path / "c.parquet")["head"].to_pylist() == [0, 0]


@pytest.mark.parametrize("factor", [1e300, 1e-300])
def test_centers_that_float32_does_not_hold_are_refused(tmp_path, factor):
    np.save(tmp_path / "far.npy", np.array([[0.0, 0.0], [3.0, 4.0]]) * factor)
    with pytest.raises(UserError, match=r"center 1 does not fit the float32 of a \.npy file"):
        write_centers(str(tmp_path / "far.npy"), str(tmp_path / "new" / "c.npy"), metric="euclidean")
    assert not (tmp_path / "new").exists()
    write_centers(str(tmp_path / "far.npy"), str(tmp_path / "c.parquet"), metric="euclidean")


def test_a_bare_file_of_centers_has_the_metric_that_is_asked_for(tmp_path):
    np.save(tmp_path / "far.npy", np.array([[3.0, 4.0], [0.0, 2.0]]))
    assert write_centers(str(tmp_path / "far.npy"), str(tmp_path / "c.npy"), metric="euclidean").metric == "euclidean"
    assert np.load(tmp_path / "c.npy").tolist() == [[3, 4], [0, 2]]
    assert "to be asked by Euclidean distance" in centers(tmp_path / "far.npy", tmp_path / "d.npy", metric="euclidean")
    assert write_centers(str(tmp_path / "far.npy"), str(tmp_path / "e.npy")).metric == "cosine"
    with pytest.raises(UserError, match="--metric is 'euclid'; give cosine or euclidean; nearest valid name: euclidean"):
        write_centers(str(tmp_path / "far.npy"), str(tmp_path / "f.npy"), metric="euclid")


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_nearest_center_with_its_price_is_the_label(metric):
    random = np.random.default_rng(0)
    rows, centers = random.normal(size=(500, 4)), random.normal(size=(9, 4))
    if metric == "cosine":
        rows, centers = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (rows, centers))
    prices = random.random(9).astype(np.float32)
    longer = with_prices(FrozenClusters([9], centers.astype(np.float32), prices, metric))
    if metric == "cosine":
        labels = (rows @ centers.T + prices).argmax(axis=1)
        nearest = (np.column_stack([rows, np.ones(500)]) @ longer.T).argmax(axis=1)
    else:
        labels = (rows @ centers.T - (centers**2).sum(axis=1) / 2 + prices).argmax(axis=1)
        nearest = ((np.column_stack([rows, np.zeros(500)])[:, None] - longer) ** 2).sum(axis=2).argmin(axis=1)
        assert (((rows[:, None] - centers) ** 2).sum(axis=2).argmin(axis=1) != labels).any()
    assert (nearest == labels).all()


def test_faiss_finds_the_nearest_center(clusters, tmp_path):
    faiss = pytest.importorskip("faiss")
    write_centers(clusters, str(tmp_path / "c.faiss"), head=1)
    index = faiss.read_index(str(tmp_path / "c.faiss"))
    assert isinstance(index, faiss.IndexFlatIP)
    assert index.search(np.array([[0.1, 1], [1, 0.1]], np.float32), 1)[1].tolist() == [[0], [1]]


def test_where_faiss_is_missing_the_refusal_says_how_to_get_it(clusters, tmp_path, monkeypatch):
    def without(name, *rest):
        if name == "faiss":
            raise ImportError("No module named 'faiss'")
        return real(name, *rest)

    real = importlib.import_module
    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(UserError, match=r"pip install 'quorum-kmeans\[faiss\]'"):
        write_centers(clusters, str(tmp_path / "c.faiss"))
    assert not (tmp_path / "c.faiss").exists()


@pytest.mark.parametrize(
    ("to", "options", "words"),
    [
        ("c.txt", {}, r"name a file that ends in .npy, .faiss or .parquet"),
        ("c.parquet", {"prices": True}, "--prices is for .npy and .faiss"),
        ("c.npy", {"head": 2}, "has heads 0 to 1; there is no head 2"),
        ("centers.parquet", {"overwrite": True}, "is a place of what .* itself is made of"),
        ("mine.npy", {}, "is there already; choose another --to or give --overwrite"),
    ],
)
def test_files_that_cannot_be_are_refused(clusters, tmp_path, to, options, words):
    (tmp_path / "mine.npy").write_bytes(b"mine")
    with pytest.raises(UserError, match=words):
        write_centers(clusters, str(tmp_path / to), **options)
