"""quorum cluster on a real local Ray: every row once, stops and worker counts change nothing, errors come first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow.tracking import MlflowClient

from pipelines.cli import main
from pipelines.cluster_config import ClusterConfig
from pipelines.cluster_job import MANIFEST, cluster
from pipelines.cluster_labels import parts
from pipelines.errors import UserError
from pipelines.initial_clusters import sample_rows
from pipelines.order import EpochOrder, StreamShape, lanes_of_worker
from pipelines.recipe import read_recipe
from pipelines.run import Run
from pipelines.vector_windows import VectorReader
from pipelines.vectors import Vectors
from tests.pipelines.runs import cut_back, final_state, store_of

ROWS, DIM, CLUSTERS, PASSES = 2000, 8, 20, 3
STEPS = 2000 // 96


def write_folder(folder: Path) -> np.ndarray:
    """Lumps of very different sizes, sorted by lump, in two files of short row groups; ids are strings."""
    random = np.random.default_rng(0)
    share = random.pareto(1.0, 15) + 0.1
    lump = np.sort(random.choice(15, ROWS, p=share / share.sum()))
    rows = (random.normal(size=(15, DIM))[lump] + 0.8 * random.normal(size=(ROWS, DIM))).astype(np.float32)
    folder.mkdir()
    for name, mine in (("a", slice(0, 1100)), ("b", slice(1100, ROWS))):
        ids = [f"row-{place}" for place in range(ROWS)[mine]]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows[mine].reshape(-1)), DIM)
        pq.write_table(pa.table({"path": ids, "embedding": vectors}), folder / f"{name}.parquet", row_group_size=150)
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("vectors") / "embeddings"
    write_folder(made)
    return made


@pytest.fixture(scope="module")
def clustered(local_ray, folder, tmp_path_factory) -> Path:
    """A run of one worker that was never stopped, started from the command line."""
    to = tmp_path_factory.mktemp("clusters") / "straight"
    main(["cluster", str(folder), "--to", str(to), *options()])
    return to


def options() -> list[str]:
    return [
        "--num_clusters", f"[{CLUSTERS}, 7]", "--id", "path", "--batch_size", "96", "--lanes", "4", "--window", "64",
        "--passes", str(PASSES), "--checkpoint.every_steps", "8", "--checkpoint.keep_last", "50",
    ]  # fmt: skip


def labels_of(to: Path) -> pa.Table:
    return pa.concat_tables(pq.read_table(file) for file in sorted((to / "labels").glob("*.parquet")))


@pytest.mark.ray
def test_every_row_gets_a_label_once_in_the_order_of_the_files(clustered, folder):
    table = labels_of(clustered)
    assert table["id"].to_pylist() == [f"row-{place}" for place in range(ROWS)]
    centers = pq.read_table(clustered / "centers.parquet")
    assert centers["head"].to_pylist() == [0] * CLUSTERS + [1] * 7
    rows = np.concatenate([Vectors.open(str(folder)).read(0, group)[0] for group in range(8)])
    for head in (0, 1):
        mine = centers.filter(pa.compute.equal(centers["head"], head))
        similarity = rows @ np.stack(mine["center"].to_numpy(zero_copy_only=False)).T
        best = (similarity + mine["price"].to_numpy()).argmax(axis=1)
        labels = table[f"label_head{head}"].to_numpy()[:1100]
        assert (best == labels).mean() > 0.999  # equal but for ties in the last bit
        np.testing.assert_allclose(table[f"similarity_head{head}"].to_numpy()[:1100], similarity[range(1100), labels], atol=1e-5)


@pytest.mark.ray
def test_sizes_are_near_the_minimum_and_the_report_agrees_with_the_labels(clustered):
    report = json.loads((clustered / "report.json").read_text())
    assert report["rows"] == ROWS
    table, sizes = labels_of(clustered), pq.read_table(clustered / "sizes.parquet")
    for head, clusters in enumerate((CLUSTERS, 7)):
        counts = np.bincount(table[f"label_head{head}"].to_numpy(), minlength=clusters)
        mine, minimum = report["heads"][head], 0.4 * ROWS / clusters
        assert sizes.filter(pa.compute.equal(sizes["head"], head))["rows"].to_pylist() == counts.tolist()
        assert (mine["smallest"], mine["largest"]) == (counts.min(), counts.max())
        assert mine["minimum"] == pytest.approx(minimum)
        assert mine["below_minimum"] == (counts < minimum).sum()
        assert mine["mean_similarity"] == pytest.approx(table[f"similarity_head{head}"].to_numpy().mean(), abs=1e-6)
        assert counts.min() > 0.9 * minimum
    assert report["heads"][0]["mean_similarity"] > 0.8
    assert (clustered / MANIFEST).exists()


@pytest.mark.ray
def test_mlflow_has_settings_figures_and_a_picture_of_the_sizes(clustered):
    address = Run.open(str(clustered)).address
    client = MlflowClient(address.uri)
    run = client.get_run(address.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["num_clusters"] == f"[{CLUSTERS}, 7]"
    assert run.data.params["data.rows"] == str(ROWS)
    assert {
        "similarity_head0",
        "rows_per_second",
        "cluster_size_min_head1",
        "labels_cluster_size_min_head0",
    } <= run.data.metrics.keys()
    assert len(client.get_metric_history(address.run_id, "similarity_head0")) == PASSES
    assert all(point.value >= -0.05 for point in client.get_metric_history(address.run_id, "certificate_slack_head0"))
    pictures = {Path(file.path).name for file in client.list_artifacts(address.run_id, "pictures")}
    assert f"cluster-sizes-{PASSES:04d}.png" in pictures


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_in_mid_pass_goes_on_with_any_number_of_workers(clustered, workers):
    copy = cut_back(clustered, clustered.parent / f"killed-{workers}", STEPS + 8, "labels", "*.parquet", "report.json", MANIFEST)
    assert store_of(copy).latest().step == 8
    main(["cluster", "--resume", str(copy), "--workers", str(workers)])
    first, second = final_state(clustered, PASSES), final_state(copy, PASSES)
    straight, resumed = labels_of(clustered), labels_of(copy)
    assert Run.open(str(copy)).address.run_id == Run.open(str(clustered)).address.run_id
    if workers == 1:
        assert all(torch.equal(first["kmeans"][name], second["kmeans"][name]) for name in ("centers", "duals", "counts"))
        assert torch.equal(first["similarity"], second["similarity"])
        assert first["figures"]["similarity_head0"] == second["figures"]["similarity_head0"]
        assert straight.equals(resumed)
    else:  # sums over two workers round differently
        torch.testing.assert_close(first["kmeans"]["centers"], second["kmeans"]["centers"], atol=1e-3, rtol=0)
        assert (straight["label_head0"].to_numpy() == resumed["label_head0"].to_numpy()).mean() > 0.995


@pytest.mark.slow
@pytest.mark.ray
def test_a_row_without_direction_stops_the_run_in_words(local_ray, tmp_path):
    rows = write_folder(tmp_path / "embeddings")
    rows[1234] = 0
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), DIM)
    shutil.rmtree(tmp_path / "embeddings")
    (tmp_path / "embeddings").mkdir()
    pq.write_table(pa.table({"embedding": vectors}), tmp_path / "embeddings" / "x.parquet", row_group_size=150)
    config = ClusterConfig(embeddings=str(tmp_path / "embeddings"), to=str(tmp_path / "to"), num_clusters=20, passes=1)
    with pytest.raises(UserError, match=r"row 1234 of .*x\.parquet has no direction"):
        cluster(config)
    assert not (tmp_path / "to" / MANIFEST).exists()


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_batches_of_any_number_of_workers_joined_are_those_of_one(folder, workers):
    vectors = Vectors.open(str(folder))
    order = EpochOrder(vectors, StreamShape(96, 4, 64), seed=3, epoch=1)

    def steps(lanes: range, start: int = 0) -> list[dict[str, np.ndarray]]:
        reader = VectorReader(vectors, order, lanes, start)
        return list(reader({"id": np.arange(len(reader.windows))}))

    whole = steps(range(4))
    places = np.concatenate([step["id"] for step in whole])
    assert len(np.unique(places)) == len(places) == STEPS * 96
    by_worker = [steps(lanes_of_worker(4, rank, workers)) for rank in range(workers)]
    for step, *shares in zip(whole, *by_worker, strict=True):
        for name in ("id", "vector"):
            assert np.array_equal(np.concatenate([share[name] for share in shares]), step[name])
    for step, later in zip(whole[5:], steps(range(4), 5), strict=True):
        assert np.array_equal(step["vector"], later["vector"])
    every = np.concatenate([vectors.read(s, g)[0] for s, file in enumerate(vectors.shards) for g in range(len(file.row_groups))])
    assert all(np.array_equal(step["vector"], every[step["id"]]) for step in whole)


def test_files_of_labels_hold_whole_row_groups_of_one_file_each(folder):
    vectors = Vectors.open(str(folder))
    made = parts(vectors, 400)
    assert [(part.shard, part.groups, part.rows) for part in made] == [
        (0, range(0, 3), 450), (0, range(3, 6), 450), (0, range(6, 8), 200), (1, range(0, 3), 450), (1, range(3, 6), 450),
    ]  # fmt: skip


def test_a_sample_has_rows_from_all_over_the_folder_and_repeats(folder):
    vectors = Vectors.open(str(folder))
    sample = sample_rows(vectors, 140, seed=0)
    assert 140 <= len(sample) <= 154
    assert len(np.unique(sample, axis=0)) == len(sample)
    assert np.array_equal(sample, sample_rows(vectors, 140, seed=0))
    assert not np.array_equal(sample[:100], sample_rows(vectors, 140, seed=1)[:100])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--num_clusters", "3000"], "num_clusters is 3000, but"),
        (["--batch_size", "100"], "batch_size 100 is not a multiple of lanes 8"),
        (["--batch_size", "4096"], "batch_size 4096 exceeds the 2000 rows"),
        (["--workers", "9"], "9 workers, but lanes is 8"),
        (["--lanes", "3000", "--workers", "1"], "lanes 3000 exceeds the 2000 rows"),
        (["--num_clusters", "0"], "num_clusters is 0"),
        (["--num_clusters", "[]"], "num_clusters is 0"),
        (["--min_size_ratio", "1.5"], "min_size_ratio is 1.5"),
        (["--dual_lr", "0"], "dual_lr is 0"),
        (["--passes", "0"], "passes is 0"),
        (["--pases", "3"], "nearest valid name: passes"),
        (["--column", "embeding"], "nearest valid name: embedding"),
        (["--id", "pth"], "nearest valid name: path"),
        (["--to", "INSIDE"], "lies in the folder of the embeddings"),
        (["--to", "USED"], "is not empty"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_leaves_nothing_behind(folder, tmp_path, capsys, monkeypatch, given, said):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "something").touch()
    places = {"INSIDE": str(folder / "clusters"), "USED": str(tmp_path / "used")}
    words = ["cluster", str(folder), "--to", str(tmp_path / "to"), "--num_clusters", "20", *(places.get(w, w) for w in given)]
    with pytest.raises(SystemExit):
        main(words)
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"used"}
    assert not (folder / "clusters").exists()


def test_the_folder_of_embeddings_must_be_named(capsys):
    with pytest.raises(SystemExit):
        main(["cluster", "--to", "x", "--num_clusters", "3"])
    assert "which embeddings?" in capsys.readouterr().err


def test_a_resume_keeps_what_its_result_depends_on(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["cluster", "--resume", str(tmp_path), "--num_clusters", "3"])
    assert "--num_clusters cannot change in a resumed run" in capsys.readouterr().err


def test_a_file_can_hold_the_options(folder, tmp_path):
    (tmp_path / "c.yaml").write_text(f"embeddings: {folder}\nto: x\nnum_clusters: [5, 3]\ncheckpoint: {{every_steps: 7}}\n")
    config = read_recipe(str(tmp_path / "c.yaml"), ClusterConfig)
    assert (config.heads, config.checkpoint.every_steps, config.passes) == ([5, 3], 7, 5)


def test_batches_and_windows_follow_from_the_vectors_alone(folder):
    vectors = Vectors.open(str(folder))
    shape = ClusterConfig(embeddings="", to="", num_clusters=20, workers=1).shape(vectors)
    assert shape == ClusterConfig(embeddings="", to="", num_clusters=20, workers=8).shape(vectors)
    assert (shape.batch_size, shape.window) == (96, 1024)  # 20 updates a pass; a window of 1024 rows at least
