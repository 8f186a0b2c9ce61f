"""quorum cluster on a real local Ray: every row once, stops and worker counts change nothing, errors come first."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray.data
import torch
from mlflow.tracking import MlflowClient
from pyarrow.dataset import dataset

from algos.estimator.estimator import ConstrainedKMeans
from algos.estimator.geometry import Geometry
from pipelines.clustering.config import ClusterConfig
from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.launch import COPY, Clustering, cluster
from pipelines.clustering.loop import form_of
from pipelines.clustering.result_files import CLUSTERS_MANIFEST
from pipelines.config.recipe import read_stored
from pipelines.config.sections import ComputeConfig
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm
from pipelines.errors import UserError
from pipelines.runs.run_folder import CONFIG_FILE, Run
from pipelines.tracking.figures import is_known
from quorum.cli import main
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_DIM, LUMP_ROWS, PASSES, STEPS, options, write_lumps
from tests.helpers.runs.killed_runs import cut_back, final_state, store_of


def labels_of(to: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(file) for file in sorted((to / "labels").glob("*.parquet")))


@pytest.mark.ray
@pytest.mark.job
def test_every_row_gets_a_label_once_in_the_order_of_the_files(clustered, lumps):
    table = labels_of(clustered)
    assert table["id"].to_pylist() == [f"row-{place}" for place in range(LUMP_ROWS)]
    centers = pq.read_table(clustered / "centers.parquet")
    assert centers["head"].to_pylist() == [0] * CLUSTERS + [1] * 7
    rows = np.concatenate([EmbeddingFolder.open(str(lumps)).read(0, group)[0] for group in range(8)])
    for head in (0, 1):
        mine = centers.filter(pa.compute.equal(centers["head"], head))
        similarity = rows @ np.stack(mine["center"].to_numpy(zero_copy_only=False)).T
        best = (similarity + mine["price"].to_numpy()).argmax(axis=1)
        labels = table[f"label_head{head}"].to_numpy()[:1100]
        assert (best == labels).mean() > 0.999  # equal but for ties in the last bit
        np.testing.assert_allclose(table[f"similarity_head{head}"].to_numpy()[:1100], similarity[range(1100), labels], atol=1e-5)


@pytest.mark.ray
@pytest.mark.job
def test_sizes_are_near_the_minimum_and_the_report_agrees_with_the_labels(clustered):
    report = json.loads((clustered / "report.json").read_text())
    assert report["rows"] == LUMP_ROWS
    table, sizes = labels_of(clustered), pq.read_table(clustered / "sizes.parquet")
    for head, clusters in enumerate((CLUSTERS, 7)):
        counts = np.bincount(table[f"label_head{head}"].to_numpy(), minlength=clusters)
        mine, minimum = report["heads"][head], 0.4 * LUMP_ROWS / clusters
        assert sizes.filter(pa.compute.equal(sizes["head"], head))["rows"].to_pylist() == counts.tolist()
        assert (mine["smallest"], mine["largest"]) == (counts.min(), counts.max())
        assert mine["minimum"] == pytest.approx(minimum)
        assert mine["below_minimum"] == (counts < minimum).sum()
        assert mine["mean_similarity"] == pytest.approx(table[f"similarity_head{head}"].to_numpy().mean(), abs=1e-6)
        assert counts.min() > 0.9 * minimum
    assert report["heads"][0]["mean_similarity"] > 0.8
    assert (clustered / CLUSTERS_MANIFEST).exists()


@pytest.mark.ray
@pytest.mark.job
def test_mlflow_has_settings_figures_and_a_picture_of_the_sizes(clustered, lumps):
    address = Run.open(str(clustered)).address
    client = MlflowClient(address.uri)
    tags = client.get_run(address.run_id).data.tags
    assert tags["mlflow.source.name"] == "quorum cluster"
    assert tags["mlflow.note.content"].startswith(
        f"Makes heads of {CLUSTERS} and 7 clusters of {LUMP_ROWS:,} vectors of {LUMP_DIM}"
    )
    assert f"quorum cluster --config {clustered}/config.yaml --to {clustered}-again" in tags["mlflow.note.content"]
    assert f"It was started by `quorum cluster {lumps} --to {clustered}" in tags["mlflow.note.content"]
    run = client.get_run(address.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["num_clusters"] == f"[{CLUSTERS}, 7]"
    assert run.data.params["data.rows"] == str(LUMP_ROWS)
    assert {
        "clusters/head0/similarity",
        "stream/rows_per_second",
        "clusters/head1/smallest",
        "labels/head0/smallest",
    } <= run.data.metrics.keys()
    assert all(is_known(name) for name in run.data.metrics)
    assert len(client.get_metric_history(address.run_id, "clusters/head0/similarity")) == PASSES
    assert all(point.value >= -0.05 for point in client.get_metric_history(address.run_id, "clusters/head0/certificate_slack"))
    pictures = {Path(file.path).name for file in client.list_artifacts(address.run_id, "pictures")}
    assert f"cluster-sizes-{PASSES:04d}.png" in pictures
    tables = {Path(file.path).name for file in client.list_artifacts(address.run_id, "clustering")}
    assert tables == {"report.json", "sizes.parquet", "centers.parquet"}


@pytest.mark.ray
@pytest.mark.job
def test_a_finished_run_is_gone_on_with_to_exact_sizes_and_no_further(clustered):
    copy = clustered.parent / "exact"
    shutil.copytree(clustered, copy)
    with pytest.raises(UserError, match="is finished; there is nothing"):
        cluster(from_folder(copy), resume=str(copy))
    main(["cluster", "--resume", str(copy), "--exact"])
    report, table = json.loads((copy / "report.json").read_text()), labels_of(copy)
    for head, clusters in enumerate((CLUSTERS, 7)):
        mine, labels = report["heads"][head], table[f"label_head{head}"].to_numpy()
        assert np.bincount(labels, minlength=clusters).min() == mine["smallest"] >= 0.4 * LUMP_ROWS / clusters
        assert mine["below_minimum"] == 0 <= mine["mean_optimality_gap"]
        assert (labels != labels_of(clustered)[f"label_head{head}"].to_numpy()).sum() == mine["moved"]
    address = Run.open(str(copy)).address
    assert "labels/head0/moved" in MlflowClient(address.uri).get_run(address.run_id).data.metrics
    with pytest.raises(UserError, match="is finished"):
        cluster(from_folder(copy), resume=str(copy))


@pytest.mark.ray
@pytest.mark.job
def test_labels_keep_both_bounds_where_nothing_is_said_of_it(local_ray, lumps, tmp_path):
    to = tmp_path / "bounded"
    given = ["--num_clusters", "20", "--id", "path", "--max_size_ratio", "1.5", "--passes", "1", "--copy", "never"]
    main(["cluster", str(lumps), "--to", str(to), *given])
    (mine,) = json.loads((to / "report.json").read_text())["heads"]
    counts = np.bincount(labels_of(to)["label_head0"].to_numpy(), minlength=20)
    assert 40 <= counts.min() == mine["smallest"]
    assert counts.max() == mine["largest"] <= mine["maximum"] == 150
    assert mine["moved"] > 0  # so the prices of one pass alone do not keep them
    assert mine["mean_optimality_gap"] >= 0
    assert (mine["below_minimum"], mine["above_maximum"]) == (0, 0)
    client = MlflowClient(Run.open(str(to)).address.uri)
    metrics = client.get_run(Run.open(str(to)).address.run_id).data.metrics
    assert {
        "labels/head0/above_maximum",
        "labels/head0/mean_repair_cost",
        "clusters/head0/certificate_slack_above",
    } <= metrics.keys()
    assert metrics["clusters/head0/certificate_slack_above"] > -0.05


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
def test_tensors_of_ray_data_cluster_into_labels_that_open_as_one_data_set(local_ray, tmp_path, capsys):
    rows = np.repeat(np.eye(4, LUMP_DIM, dtype=np.float32), 60, axis=0)
    ids = [f"row-{place % 239}" for place in range(240)]  # the last is the first's
    table = ray.data.from_items([{"path": name, "vector": row} for name, row in zip(ids, rows, strict=True)])
    table.repartition(3).write_parquet(str(tmp_path / "vectors" / "split=train"))
    assert EmbeddingFolder.open(str(tmp_path / "vectors"), "vector", "path").dim == LUMP_DIM
    (tmp_path / "vectors" / "notes.txt").write_text("of somebody")
    command = ["--num_clusters", "4", "--column", "vector", "--id", "path", "--passes", "2", "--batch_size", "40"]
    main(["cluster", "--data", str(tmp_path / "vectors"), "--to", str(tmp_path / "clusters"), *command])
    labels = dataset(tmp_path / "clusters" / "labels").to_table()
    assert sorted(labels["id"].to_pylist()) == sorted(ids)
    by_place = dict(zip(labels["id"].to_pylist(), labels["label_head0"].to_pylist(), strict=True))
    assert len({by_place[f"row-{place}"] for place in range(1, 60)}) == 1
    assert sorted(np.bincount(labels["label_head0"].to_numpy())) == [60] * 4
    said = capsys.readouterr().err
    assert "also holds 1 file (1 .txt): notes.txt; not read" in said
    assert "1 of the ids 'path', such as 'row-0', belongs to several rows" in said


def test_one_file_clusters_beside_itself(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 2.0]] * 9}), tmp_path / "x.PARQUET")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "y.parquet")
    job = Clustering(
        ClusterConfig(data=str(tmp_path / "x.PARQUET"), to=str(tmp_path / "clusters"), num_clusters=3, lanes=1), None
    )
    job.check()
    assert job.config.data == str(tmp_path / "x.PARQUET")  # which a resume opens
    (tmp_path / "y.parquet").unlink()
    with pytest.raises(UserError, match="lies in the folder of the embeddings"):
        Clustering(replace(job.config, data=str(tmp_path), to=str(tmp_path / "clusters")), None).check()


@pytest.mark.ray
@pytest.mark.job
def test_a_resume_that_is_refused_leaves_a_finished_run_as_it_was(clustered):
    copy = clustered.parent / "refused"
    shutil.copytree(clustered, copy)
    before = (copy / CONFIG_FILE).read_bytes()
    with pytest.raises(UserError, match="gpu asks for 1 GPUs"):
        cluster(replace(from_folder(copy), exact=True, compute=ComputeConfig(gpu=True)), resume=str(copy))
    assert (copy / CLUSTERS_MANIFEST).exists()
    assert (copy / CONFIG_FILE).read_bytes() == before
    (copy / "checkpoints" / "index.json").unlink()
    with pytest.raises(UserError, match=r"index\.json is missing, though 9 checkpoints are there"):
        cluster(replace(from_folder(copy), exact=True), resume=str(copy))
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(UserError, match="finished and has no checkpoint left"):
        cluster(replace(from_folder(copy), exact=True), resume=str(copy))
    assert (copy / CLUSTERS_MANIFEST).exists()


def from_folder(folder: Path) -> ClusterConfig:
    """The configuration that a run's folder holds."""
    return read_stored(str(folder / CONFIG_FILE), ClusterConfig)


@pytest.mark.ray
@pytest.mark.job
def test_rows_in_lumps_were_streamed_from_a_copy_which_is_gone(clustered):
    assert from_folder(clustered).copy == "always"
    assert not (clustered / COPY).exists()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
def test_a_copy_is_kept_on_request_and_the_labels_are_of_the_files_rows(local_ray, tables, tmp_path):
    kind = np.random.default_rng(0).integers(4, size=400)
    rows = np.eye(4, LUMP_DIM, dtype=np.float32)[kind]
    pq.write_table(pa.table({"embedding": list(rows)}), tmp_path / "x.parquet", row_group_size=100)
    shutil.copy(tables, tmp_path / "mlflow.db")
    config = ClusterConfig(data=str(tmp_path / "x.parquet"), to=str(tmp_path / "to"), num_clusters=4, passes=1)
    cluster(replace(config, copy="always", copy_dtype="float16", keep_copy=True))
    copy = EmbeddingFolder.open(str(tmp_path / "to" / COPY))
    assert (copy.rows, copy.id_column) == (400, "id")
    labels = labels_of(tmp_path / "to")
    assert labels["id"].to_pylist() == list(range(400))
    assert len({*zip(kind.tolist(), labels["label_head0"].to_pylist(), strict=True)}) == 4


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_in_mid_pass_goes_on_with_any_number_of_workers(clustered, workers):
    copy = cut_back(
        clustered, clustered.parent / f"killed-{workers}", STEPS + 8, "labels", "*.parquet", "report.json", CLUSTERS_MANIFEST
    )
    assert store_of(copy).latest().step == 8
    main(["cluster", "--resume", str(copy), "--compute.workers", str(workers)])
    first, second = final_state(clustered, PASSES), final_state(copy, PASSES)
    straight, resumed = labels_of(clustered), labels_of(copy)
    assert Run.open(str(copy)).address.run_id == Run.open(str(clustered)).address.run_id
    assert all(torch.equal(first["kmeans"][name], second["kmeans"][name]) for name in ("centers", "duals", "counts"))
    assert first["figures"]["clusters/head0/similarity"] == pytest.approx(
        second["figures"]["clusters/head0/similarity"], rel=1e-9
    )
    assert straight.equals(resumed)


OFFSET = 1e4


@pytest.fixture(scope="module")
def far_from_zero(tmp_path_factory) -> Path:
    """The lumps far from the origin."""
    made = tmp_path_factory.mktemp("far") / "embeddings"
    write_lumps(made, OFFSET)
    return made


@pytest.fixture(scope="module")
def euclidean(local_ray, far_from_zero) -> Path:
    """Their clustering by distance, by one worker that was never stopped."""
    to = far_from_zero.parent / "clusters"
    main(["cluster", str(far_from_zero), "--to", str(to), "--metric", "euclidean", *options(), "--exact"])
    return to


@pytest.mark.ray
@pytest.mark.job
def test_euclidean_labels_are_the_nearest_centers_less_their_prices_in_units_of_the_data(euclidean, far_from_zero):
    table, found = labels_of(euclidean), FinishedClusters.open(str(euclidean))
    rows = pa.concat_tables(pq.read_table(far_from_zero / f"{name}.parquet") for name in "ab")["embedding"]
    rows = np.stack(rows.to_numpy(zero_copy_only=False)).astype(np.float64)
    report = json.loads((euclidean / "report.json").read_text())
    assert (found.model.metric, found.model.centers.dtype, report["far_rows"]) == ("euclidean", np.float64, 0)
    for head, told in enumerate(report["heads"]):
        mine, labels = found.head(head), table[f"label_head{head}"].to_numpy()
        half_squares = np.square(rows[:, None] - mine.centers).sum(axis=2) / 2
        best = (half_squares - mine.prices).argmin(axis=1)
        assert (best != labels).sum() <= told["moved"] + 2  # ties in the last bit
        nearest = half_squares[np.arange(LUMP_ROWS), labels]
        np.testing.assert_allclose(table[f"similarity_head{head}"].to_numpy(), -nearest, rtol=1e-4, atol=1e-4)
        assert told["inertia"] == pytest.approx(2 * nearest.sum(), rel=1e-5)
        assert told["mean_similarity"] == pytest.approx(-nearest.mean(), rel=1e-5)
        assert told["smallest"] == np.bincount(labels).min() >= 0.4 * LUMP_ROWS / len(mine.centers)
        means = [rows[labels == cluster].mean(axis=0) for cluster in range(len(mine.centers))]
        within = np.square(rows - np.array(means)[labels]).sum()  # nearly as good as the best centers of these labels
        assert told["inertia"] < 1.05 * within


@pytest.mark.ray
@pytest.mark.job
def test_the_estimator_predicts_the_same_labels_from_the_same_centers(euclidean, far_from_zero):
    rows = pa.concat_tables(pq.read_table(far_from_zero / f"{name}.parquet") for name in "ab")["embedding"]
    rows = np.stack(rows.to_numpy(zero_copy_only=False))
    state = final_state(euclidean, PASSES)
    form = form_of(state)
    told = json.loads((euclidean / "report.json").read_text())["heads"][0]
    estimator = ConstrainedKMeans(CLUSTERS, metric="euclidean", random_state=0, max_iter=PASSES, exact=True).fit(rows)
    assert told["inertia"] == pytest.approx(-2 * estimator.objective_, rel=0.05)
    estimator._geometry = Geometry(False, torch.tensor(form.origin), form.scale)
    estimator._core.centers.copy_(state["kmeans"]["centers"][:CLUSTERS])
    estimator._prices = state["kmeans"]["duals"][:CLUSTERS]
    assert (estimator.predict(rows) != labels_of(euclidean)["label_head0"].to_numpy()).sum() <= told["moved"] + 2


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
def test_a_euclidean_run_killed_in_mid_pass_goes_on_with_two_workers_in_the_same_bits(euclidean):
    copy = cut_back(euclidean, euclidean.parent / "killed", STEPS + 8, "labels", "*.parquet", "report.json", CLUSTERS_MANIFEST)
    assert store_of(copy).latest().step == 8
    main(["cluster", "--resume", str(copy), "--compute.workers", "2"])
    first, second = final_state(euclidean, PASSES), final_state(copy, PASSES)
    assert first["form"] == second["form"] != asdict(RowForm())
    assert all(torch.equal(first["kmeans"][name], second["kmeans"][name]) for name in ("centers", "duals", "counts"))
    assert labels_of(euclidean).equals(labels_of(copy))


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
def test_a_start_from_finished_clusters_keeps_their_numbers_and_tells_what_changed(clustered, lumps):
    to = clustered.parent / "warm"
    given = [word for word in options() if word not in ("--num_clusters", f"[{CLUSTERS}, 7]")]
    main(["cluster", str(lumps), "--to", str(to), "--start_from", str(clustered), *given, "--passes", "1"])
    before, after, report = labels_of(clustered), labels_of(to), json.loads((to / "report.json").read_text())
    assert from_folder(to).num_clusters == [CLUSTERS, 7]
    for head, told in enumerate(report["heads"]):
        labels = after[f"label_head{head}"].to_numpy()
        assert after[f"start_label_head{head}"].equals(before[f"label_head{head}"])
        assert told["changed_since_start"] == (labels != before[f"label_head{head}"].to_numpy()).sum()
        assert told["changed_share"] == told["changed_since_start"] / LUMP_ROWS < 0.06
    address = Run.open(str(to)).address
    metrics = MlflowClient(address.uri).get_run(address.run_id).data.metrics
    assert metrics["labels/head1/changed_since_start"] == report["heads"][1]["changed_since_start"]
    assert all(is_known(name) for name in metrics)


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
def test_a_warm_start_that_was_killed_goes_on_without_the_run_it_started_from(euclidean, far_from_zero):
    first, to = euclidean.parent / "first", euclidean.parent / "warm"
    shutil.copytree(euclidean, first)
    given = [word for word in options() if word not in ("--num_clusters", f"[{CLUSTERS}, 7]")]
    command = ["--metric", "euclidean", "--start_from", str(first), *given, "--passes", "2"]
    main(["cluster", str(far_from_zero), "--to", str(to), *command])
    shutil.rmtree(first)
    copy = cut_back(to, to.parent / "warm-killed", STEPS + 8, "labels", "report.json", CLUSTERS_MANIFEST)
    main(["cluster", "--resume", str(copy), "--compute.workers", "2"])
    straight, resumed = final_state(to, 2), final_state(copy, 2)
    assert all(torch.equal(straight["kmeans"][name], resumed["kmeans"][name]) for name in ("centers", "duals", "counts"))
    assert labels_of(to).equals(labels_of(copy))
    assert labels_of(to)["start_label_head0"].equals(labels_of(euclidean)["label_head0"])
    assert json.loads((to / "report.json").read_text())["heads"][0]["changed_share"] < 0.1


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.job
def test_a_row_without_direction_stops_the_run_in_words(local_ray, lumps, tmp_path):
    rows = pq.read_table(lumps / "a.parquet", columns=["embedding"])["embedding"].to_pylist()
    rows[1034] = [0.0] * LUMP_DIM
    (tmp_path / "embeddings").mkdir()
    pq.write_table(pa.table({"embedding": rows}), tmp_path / "embeddings" / "x.parquet", row_group_size=150)
    config = ClusterConfig(data=str(tmp_path / "embeddings"), to=str(tmp_path / "to"), num_clusters=20, passes=1)
    with pytest.raises(UserError, match=r"row 1034 of .*x\.parquet has no direction"):
        cluster(config)
    assert not (tmp_path / "to" / CLUSTERS_MANIFEST).exists()
