"""quorum cluster --levels on a real local Ray: bounds of both levels, stops that change nothing, and who goes on with it."""

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
from pyarrow.dataset import dataset

import quorum
from algos.kmeans.level_bounds import parent_bounds
from pipelines.clustering.finished_clusters import FinishedClusters
from pipelines.clustering.levels.parent_files import PARENTS
from pipelines.clustering.result_files import CLUSTERS_MANIFEST
from pipelines.errors import UserError
from pipelines.runs.run_folder import Run
from pipelines.tracking.figures import is_known
from quorum.cli import main
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_ROWS, PASSES, STEPS, options
from tests.helpers.runs.killed_runs import cut_back, differing, final_state, store_of

LEVELS = (5, 8)
CHILDREN = 40

pytestmark = [pytest.mark.ray, pytest.mark.job]


def words(*more: str) -> list[str]:
    return [word for word in options() if word not in ("--num_clusters", f"[{CLUSTERS}, 7]", "--no-exact")] + [*more]


@pytest.fixture(scope="module")
def tree(local_ray, lumps, tmp_path_factory) -> Path:
    """A clustering on two levels by one worker that was never stopped."""
    to = tmp_path_factory.mktemp("tree") / "straight"
    levels = ["--levels", str(list(LEVELS)), "--min_size_ratio", "0.8", "--max_size_ratio", "1.2"]
    main(["cluster", str(lumps), "--to", str(to), *words(*levels)])
    return to


def labels_of(to: Path) -> np.ndarray:
    return dataset(to / "labels").to_table()["label_head0"].to_numpy()


def test_labels_of_both_levels_keep_their_bounds_and_the_tables_agree(tree):
    labels, report = labels_of(tree), json.loads((tree / "report.json").read_text())
    sizes, centers, parents = (pq.read_table(tree / f"{name}.parquet") for name in ("sizes", "centers", "parents"))
    counts, parent_of = np.bincount(labels, minlength=CHILDREN), sizes["parent"].to_numpy()
    assert sizes["rows"].to_pylist() == counts.tolist()
    assert (counts.min(), counts.max()) == (report["heads"][0]["smallest"], report["heads"][0]["largest"])
    assert counts.min() >= 40  # 0.8 and 1.2 of 50
    assert counts.max() <= 60
    children = torch.from_numpy(parents["children"].to_numpy().copy())
    assert parent_of.tolist() == centers["parent"].to_pylist() == np.repeat(range(5), children).tolist()
    least, most = parent_bounds(children, LUMP_ROWS, 0.8, 1.2)
    rows = np.bincount(parent_of, weights=counts)
    assert parents["rows"].to_pylist() == rows.tolist()
    assert parents["minimum"].to_pylist() == least.tolist()
    assert parents["maximum"].to_pylist() == most.tolist()
    assert (rows >= least.numpy()).all()
    assert (rows <= most.numpy()).all()
    told = report["parents"]
    assert (told["clusters"], told["smallest"], told["largest"]) == (5, rows.min(), rows.max())
    assert (told["below_minimum"], told["above_maximum"]) == (0, 0)
    assert 0 <= told["moved"] <= report["heads"][0]["moved"] > 0
    assert report["heads"][0]["mean_similarity"] > 0.8


def test_mlflow_has_the_figures_of_both_levels_by_known_names(tree):
    address = Run.open(str(tree)).address
    client = MlflowClient(address.uri)
    metrics = client.get_run(address.run_id).data.metrics
    assert all(is_known(name) for name in metrics)
    assert len(client.get_metric_history(address.run_id, "parents/head0/similarity")) == PASSES
    assert len(client.get_metric_history(address.run_id, "clusters/head0/similarity")) == PASSES
    told = json.loads((tree / "report.json").read_text())["parents"]
    assert (metrics["parents/head0/smallest"], metrics["parents/head0/moved"]) == (told["smallest"], told["moved"])
    assert PARENTS in {Path(file.path).name for file in client.list_artifacts(address.run_id, "clustering")}


def test_assigning_the_runs_own_rows_gives_its_labels_but_for_those_that_were_moved(tree, lumps, tmp_path):
    moved = json.loads((tree / "report.json").read_text())["heads"][0]["moved"]
    made = quorum.assign(tree, lumps, tmp_path / "again")
    assert (labels_of(tmp_path / "again") != labels_of(tree)).sum() == moved
    assert made.report["heads"][0]["clusters"] == CHILDREN
    found = FinishedClusters.open(str(tree)).head(0)
    rows = pa.concat_tables(pq.read_table(lumps / f"{name}.parquet") for name in "ab")["embedding"]
    rows = np.stack(rows.to_numpy(zero_copy_only=False))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    quorum.assign(tree, lumps, tmp_path / "nearest", prices=False)
    parents, similar = (rows @ found.parents.centers.T).argmax(axis=1), rows @ found.centers.T
    similar[found.parents.parent_of != parents[:, None]] = -np.inf
    assert (similar.argmax(axis=1) != labels_of(tmp_path / "nearest")).sum() <= 2  # ties in the last bit


def test_a_sample_is_shared_among_parents_first(tree, tmp_path):
    sample = quorum.curate(tree, tmp_path / "sample.parquet", total=500).table
    parents = pq.read_table(tree / "sizes.parquet")["parent"].to_numpy()
    assert np.bincount(parents[sample["cluster"].to_numpy()]).tolist() == [100] * 5


def test_what_cannot_go_on_with_two_levels_says_so(tree, lumps, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["cluster", str(lumps), "--to", str(tmp_path / "to"), *words("--start_from", str(tree))])
    assert "has clusters on two levels, which nothing starts from" in capsys.readouterr().err
    with pytest.raises(UserError, match="has clusters on two levels; give the folder of the run"):
        quorum.assign(tree / "centers.parquet", lumps, tmp_path / "flat")
    with pytest.raises(UserError, match="on two levels, and no price of one cluster"):
        quorum.centers(tree, tmp_path / "centers.npy", prices=True)
    copy = tmp_path / "copy"
    shutil.copytree(tree, copy)
    (copy / PARENTS).unlink()
    with pytest.raises(UserError, match=r"parents\.parquet is missing"):
        FinishedClusters.open(str(copy))


@pytest.mark.slow
@pytest.mark.parametrize("step", [8, PASSES * STEPS, (PASSES + 1) * STEPS + 8])
def test_a_run_killed_in_either_level_goes_on_with_two_workers_in_the_same_bits(tree, step):
    copy = cut_back(tree, tree.parent / f"killed-{step}", step, "labels", "*.parquet", "report.json", CLUSTERS_MANIFEST)
    assert store_of(copy).latest().global_step == step
    main(["cluster", "--resume", str(copy), "--compute.workers", "2"])
    first, second = (final_state(run, 2 * PASSES) for run in (tree, copy))
    assert differing(first["kmeans"], second["kmeans"]) == []
    np.testing.assert_array_equal(labels_of(tree), labels_of(copy))
    assert pq.read_table(tree / PARENTS).equals(pq.read_table(copy / PARENTS))
