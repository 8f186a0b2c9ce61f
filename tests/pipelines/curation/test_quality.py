"""quorum quality: figures worked out by hand, and those of a real run, where they are kept."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from sklearn.metrics import silhouette_score

import quorum
from pipelines.clustering.label_files import FrozenClusters
from pipelines.clustering.source_images import Images
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.curation.quality import _measure, measure
from pipelines.curation.quality_pictures import _sheets
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.tracking.figures import is_known
from quorum.cli import main
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_ROWS


@pytest.fixture
def labelled(tmp_path):
    """Six rows of three clusters, of which the last has none."""
    (tmp_path / "labels").mkdir()
    table = {"id": [4, 3, 2, 1, 0, 5], "label_head0": [0, 0, 1, 0, 1, 0], "similarity_head0": [1.0] * 6}
    pq.write_table(pa.table(table), tmp_path / "labels" / "part-000000.parquet")
    return LabelledRows(Location.of(tmp_path / "labels"), 0, 3)


SIZES = pa.table(
    {"head": [0, 0, 0], "cluster": [0, 1, 2], "rows": [4, 2, 0], "minimum": [1.0] * 3, "similarity": [0.5, 0.8, None]}
)


@pytest.mark.parametrize("far", [0, 2**30])
def test_figures_are_those_that_one_works_out_by_hand_however_far_from_0_rows_lie(labelled, far):
    model = FrozenClusters([3], np.array([[0.0, 0], [4, 0], [4, 3]]) + far, np.zeros(3), "euclidean")
    rows = np.array([[1.0, 0], [0, 0], [4, 0], [2, 0], [3, 0], [0, 1]])
    found = _measure(model, labelled, SIZES, rows + far, np.arange(6))
    figures = found.figures
    assert (figures["smallest"], figures["largest"], figures["empty"], figures["min_size"]) == (0, 4, 1, 1)
    assert figures["size_gini"] == pytest.approx(4 / 9)
    assert figures["similarity"] == pytest.approx(0.6)
    assert figures["closest_pairs"] == [[1, 2, pytest.approx(3.0)], [0, 1, pytest.approx(4.0)]]
    assert figures["closest_centers"] == pytest.approx(3)
    assert found.table["nearest"].to_pylist() == [1, 2, 1]
    simple = [2 / 3, 1, 1, 0, 2 / 3, (np.sqrt(17) - 1) / np.sqrt(17)]
    assert figures["simplified_silhouette"] == pytest.approx(np.mean(simple))
    assert figures["silhouette"] == pytest.approx(silhouette_score(rows, [0, 0, 1, 0, 1, 0]))
    by_cluster = found.table["simplified_silhouette"].to_pylist()
    assert by_cluster == [pytest.approx(np.mean([simple[n] for n in (0, 1, 3, 5)])), pytest.approx(5 / 6), None]


def test_clusters_above_the_maximum_are_counted(labelled):
    model = FrozenClusters([3], np.array([[1.0, 0.0], [0, 1], [0.6, 0.8]]), np.zeros(3))
    sizes = SIZES.append_column("maximum", pa.array([3.0] * 3))
    found = _measure(model, labelled, sizes, np.empty((0, 2)), np.empty(0, np.int64)).figures
    assert (found["above_maximum"], found["max_size"], found["maximum"]) == (1, 3, 3)
    without = SIZES.append_column("maximum", pa.nulls(3, pa.float64()))
    found = _measure(model, labelled, without, np.empty((0, 2)), np.empty(0, np.int64)).figures
    assert "above_maximum" not in found
    assert found["maximum"] is None


def test_where_nothing_can_be_compared_nothing_is_said(labelled):
    model = FrozenClusters([1], np.array([[1.0, 0]]), np.zeros(1))
    alone = LabelledRows(labelled.folder, 0, 2)
    found = _measure(model, alone, SIZES.slice(0, 1), np.empty((0, 2)), np.empty(0, np.int64)).figures
    assert [found[name] for name in ("silhouette", "simplified_silhouette", "closest_centers")] == [None] * 3
    assert found["closest_pairs"] == []


def test_images_of_the_largest_smallest_and_loosest_clusters_are_drawn(labelled, some_digits, tmp_path):
    made = _sheets(labelled, SIZES, Images(some_digits, "train"), tmp_path)
    assert [path.name for path in made] == ["largest-head0.png", "smallest-head0.png", "loosest-head0.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in made)


@pytest.mark.ray
def test_a_runs_quality_is_shown_written_and_kept_in_mlflow(clustered, lumps, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    main(["quality", str(clustered), "--sample", "500", "--seed", "3"])
    said = capsys.readouterr().out
    assert "silhouettes of 500" in said
    assert "closest centers by cosine" in said
    report = json.loads((clustered / "quality" / "quality.json").read_text())
    sizes = pq.read_table(clustered / "sizes.parquet")
    table = pq.read_table(clustered / "quality" / "quality.parquet")
    assert len(table) == CLUSTERS + 7
    assert (report["rows"], report["sample"]) == (LUMP_ROWS, 500)
    for head in report["heads"]:
        counts = sizes.filter(pa.compute.equal(sizes["head"], head["head"]))["rows"].to_numpy()
        assert (head["sizes"][0], head["sizes"][3], head["sizes"][-1]) == (counts.min(), np.median(counts), counts.max())
        assert -1 < head["silhouette"] < head["simplified_silhouette"] < 1
    run = MlflowClient(Run.open(str(clustered)).address.uri).get_run(Run.open(str(clustered)).address.run_id)
    assert run.data.metrics["quality/head1/silhouette"] == pytest.approx(report["heads"][1]["silhouette"])
    assert all(is_known(name) for name in run.data.metrics)
    assert run.info.status == "FINISHED"
    artifacts = MlflowClient(Run.open(str(clustered)).address.uri).list_artifacts(run.info.run_id, "quality")
    assert {file.path for file in artifacts} == {"quality/quality.json", "quality/quality.parquet", "quality/sizes.png"}


@pytest.mark.ray
def test_all_rows_as_a_sample_give_the_silhouette_of_the_labels(clustered, lumps):
    made = quorum.quality(clustered, sample=LUMP_ROWS)
    vectors = EmbeddingFolder.open(str(lumps))
    rows = np.concatenate([vectors.read(0, group)[0] for group in range(8)] + [vectors.read(1, group)[0] for group in range(6)])
    labels = quorum.open_clusters(clustered).labels
    for head in (0, 1):
        expected = silhouette_score(rows, labels[f"label_head{head}"], metric="cosine")
        assert made.report["heads"][head]["silhouette"] == pytest.approx(expected, abs=1e-6)
    assert "sizes" in made.pictures
    assert "data:image/png" in made._repr_html_()
    assert made.clusters["rows"].sum() == 2 * LUMP_ROWS


@pytest.mark.ray
def test_other_data_and_what_is_no_run_are_refused(clustered, tmp_path):
    pq.write_table(pa.table({"path": ["a"], "embedding": [[1.0] * 8]}), tmp_path / "other.parquet")
    with pytest.raises(UserError, match="holds other rows than"):
        measure(str(clustered), data=str(tmp_path / "other.parquet"))
    with pytest.raises(UserError, match="--sample is -1; give a number of rows, or 0"):
        measure(str(clustered), sample=-1)
    np.save(tmp_path / "c.npy", np.eye(2))
    with pytest.raises(UserError, match="is a file of centers, which has no labels"):
        measure(str(tmp_path / "c.npy"))
