"""quorum dedup on a real local Ray, against brute force: which rows are removed, of which they are copies, what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from pipelines.curation.duplicates.find import find_duplicates, tasks_of_clusters
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.runs.run_folder import Run
from tests.helpers.inputs.lumps import LUMP_ROWS

THRESHOLD = 0.97


def rows_of(folder):
    table = pq.read_table(folder)
    rows = np.stack(table["embedding"].to_numpy(zero_copy_only=False)).astype(np.float64)
    return table["path"].to_pylist(), rows / np.linalg.norm(rows, axis=1, keepdims=True)


def brute_force(rows, order, together):
    """Which rows are removed, and the earlier one of each: `together` (N, N) says which pairs are compared."""
    place = np.argsort(order)
    cosines = np.where(together & (place[:, None] > place), (rows @ rows.T).astype(np.float32), -np.inf)
    return cosines.max(axis=1) >= np.float32(THRESHOLD), cosines.argmax(axis=1), cosines.max(axis=1)


def agree(folder, ids, removed, nearest, cosines):
    kept, away = (pq.read_table(folder / f"{name}.parquet") for name in ("kept", "removed"))
    assert away["id"].to_pylist() == [ids[row] for row in np.flatnonzero(removed)]
    assert kept["id"].to_pylist() == [ids[row] for row in np.flatnonzero(~removed)]
    assert away["duplicate_of"].to_pylist() == [ids[row] for row in nearest[removed]]
    np.testing.assert_allclose(away["similarity"].to_numpy(), cosines[removed], atol=2e-7)
    alone = np.isneginf(cosines[~removed])
    assert (kept["max_similarity"].is_null().to_numpy() == alone).all()
    return away


@pytest.mark.ray
@pytest.mark.parametrize(("keep", "neighbours"), [("farthest", 0), ("nearest", 1)])
def test_rows_of_a_clustering_are_compared_in_their_cluster_and_those_next_to_it(clustered, lumps, tmp_path, keep, neighbours):
    ids, rows = rows_of(lumps)
    found = find_duplicates(str(clustered), str(tmp_path / "d"), threshold=THRESHOLD, keep=keep, neighbours=neighbours, head=1)
    labels = pq.read_table(clustered / "labels")
    own, similarity = labels["label_head1"].to_numpy(), labels["similarity_head1"].to_numpy()
    centers = pq.read_table(clustered / "centers.parquet").slice(20)
    priced = rows @ np.stack(centers["center"].to_numpy(zero_copy_only=False)).T + centers["price"].to_numpy()
    priced[np.arange(LUMP_ROWS), own] = -9
    member = np.eye(7, dtype=bool)[own] | (np.eye(7, dtype=bool)[priced.argmax(axis=1)] & bool(neighbours))
    order = np.argsort(similarity * (1 if keep == "farthest" else -1), kind="stable")
    removed, nearest, cosines = brute_force(rows, order, member.astype(int) @ member.T > 0)
    away = agree(tmp_path / "d", ids, removed, nearest, cosines)
    assert away["cluster"].to_numpy().tolist() == own[removed].tolist()
    assert found.report["removed"] == removed.sum() > 50
    assert found.report["clusters"] == 7
    assert json.loads((tmp_path / "d" / "report.json").read_text()) == found.report
    address = Run.open(str(clustered)).address
    assert [file.path for file in MlflowClient(address.uri).list_artifacts(address.run_id, "dedup")] == ["dedup/report.json"]


@pytest.mark.ray
def test_embeddings_are_compared_with_each_other_and_a_column_says_which_is_kept(local_ray, lumps, tmp_path):
    table = pa.concat_tables([pq.read_table(lumps / f"{name}.parquet") for name in "ab"]).slice(700, 600)
    stars = np.random.default_rng(0).integers(0, 50, 600)
    pq.write_table(table.append_column("stars", pa.array(stars)), tmp_path / "rows.parquet", row_group_size=90)
    ids, rows = rows_of(tmp_path / "rows.parquet")
    options = {"threshold": THRESHOLD, "keep_by": "stars", "id_column": "path"}
    found = find_duplicates(str(tmp_path / "rows.parquet"), str(tmp_path / "d"), **options)
    away = agree(tmp_path / "d", ids, *brute_force(rows, np.argsort(-stars, kind="stable"), np.ones((600, 600), bool)))
    by_id = dict(zip(ids, stars.tolist(), strict=True))
    assert all(by_id[of] >= by_id[one] for of, one in zip(away["duplicate_of"].to_pylist(), away["id"].to_pylist(), strict=True))
    assert found.report["largest_group"] == max(away["group_size"].to_pylist())
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["kept.parquet", "removed.parquet", "report.json"]
    with pytest.raises(UserError, match="already holds a dedup; choose another --to or give --overwrite"):
        find_duplicates(str(tmp_path / "rows.parquet"), str(tmp_path / "d"), **options)
    (tmp_path / "d" / "report.json").unlink()  # as where it was killed
    (tmp_path / "d" / f"kept.parquet.{'0a' * 16}.partial").write_bytes(b"cut")
    assert find_duplicates(str(tmp_path / "rows.parquet"), str(tmp_path / "d"), **options).report["removed"] == len(away)
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == ["kept.parquet", "removed.parquet", "report.json"]
    with pytest.raises(UserError, match="holds other files than a dedup's, such as d; choose"):
        find_duplicates(str(tmp_path / "rows.parquet"), str(tmp_path), **options)


@pytest.mark.ray
def test_three_equal_rows_are_one_and_a_table_without_near_duplicates_stays(local_ray, tmp_path):
    pq.write_table(pa.table({"embedding": [[3.0, 4.0], [0.0, 1.0], [0.6, 0.8], [6.0, 8.0]]}), tmp_path / "a.parquet")
    find_duplicates(str(tmp_path / "a.parquet"), str(tmp_path / "d"), threshold=0.9999)
    away = pq.read_table(tmp_path / "d" / "removed.parquet").to_pydict()
    assert away == {"id": [2, 3], "duplicate_of": [0, 0], "similarity": [1, 1], "cluster": [None] * 2, "group_size": [3, 3]}
    assert pq.read_table(tmp_path / "d" / "kept.parquet")["id"].to_pylist() == [0, 1]
    pq.write_table(pa.table({"embedding": [[3.0, 4.0], [0.0, 1.0]]}), tmp_path / "b.parquet")
    found = find_duplicates(str(tmp_path / "b.parquet"), str(tmp_path / "d"), threshold=0.9999, overwrite=True)
    assert (found.report["removed"], found.report["groups"], found.report["largest_group"]) == (0, 0, 1)
    assert pq.read_table(tmp_path / "d" / "removed.parquet").column_names == list(away)
    pq.write_table(pa.table({"embedding": [[3.0, 4.0], [0.0, 0.0]]}), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=r"row 1 of .*c.parquet has no direction"):
        find_duplicates(str(tmp_path / "c.parquet"), str(tmp_path / "e"), threshold=0.9)
    assert not (tmp_path / "e" / "_exchange").exists()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"threshold": 0}, "--threshold is 0; it is a cosine, above 0 and at most 1"),
        ({"threshold": 1.5}, "--threshold is 1.5"),
        ({"keep": "nearst"}, "nearest valid name: nearest"),
        ({"keep_by": "stars"}, "has no column 'stars'; set --keep-by"),
        ({"neighbours": -1}, "--neighbours is -1; it must be a whole number, at least 0"),
        ({"head": 5}, "has labels of heads 0, 1; there is no head 5"),
        ({"column": "embedding"}, "--column goes with embeddings, and .* is a clustering"),
        ({"all_pairs": True}, "--all-pairs goes with embeddings"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_sentence(clustered, tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        find_duplicates(str(clustered), str(tmp_path / "d"), **{"threshold": 0.9} | options)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_dedup_writes_is_refused_and_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.curation.duplicates.find.connect", None)
    pq.write_table(pa.table({"embedding": [[3.0, 4.0], [0.0, 1.0]]}), tmp_path / "a.parquet")
    with one_writer(Location.of(tmp_path / "d")):
        (tmp_path / "d" / "_exchange").mkdir()
        with pytest.raises(UserError, match="is being written by process"):
            find_duplicates(str(tmp_path / "a.parquet"), str(tmp_path / "d"), threshold=0.9, overwrite=True)
        assert (tmp_path / "d" / "_exchange").exists()


def test_ids_that_come_again_are_refused_since_a_row_could_not_be_told_from_its_namesake(tmp_path):
    rows = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    pq.write_table(pa.table({"id": [0, 0, 1, 2, 3, 4], "embedding": list(rows)}), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"1 of the ids 'id' of .*rows\.parquet, such as 0, belong to several rows"):
        find_duplicates(str(tmp_path / "rows.parquet"), str(tmp_path / "d"), threshold=0.9)


@pytest.mark.ray
def test_other_rows_than_those_of_the_clustering_are_refused(clustered, lumps, tmp_path):
    shutil.copytree(lumps, tmp_path / "moved")
    (tmp_path / "moved" / "b.parquet").unlink()
    with pytest.raises(UserError, match=r"holds other rows than .* has labels of; restore them, or say where they are now"):
        find_duplicates(str(clustered), str(tmp_path / "d"), threshold=0.9, data=str(tmp_path / "moved"))
    with pytest.raises(UserError, match="whose files are all read as rows"):
        find_duplicates(str(clustered), str(clustered / "labels" / "d"), threshold=0.9)


def test_too_many_rows_are_to_be_clustered_first(tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.curation.duplicates.rows.MOST_ALL_PAIRS", 2)
    pq.write_table(pa.table({"embedding": [[3.0, 4.0]] * 3}), tmp_path / "a.parquet")
    for options, words in (
        ({}, "has 3 rows, and the time for all pairs .* quorum cluster --data .*, or give --all-pairs"),
        ({"all_pairs": True, "keep": "nearest"}, "embeddings have none"),
        ({"all_pairs": True, "head": 1}, "--head goes with a clustering"),
        ({"all_pairs": True, "neighbours": 1}, "all pairs of embeddings are compared; leave it out"),
    ):
        with pytest.raises(UserError, match=words):
            find_duplicates(str(tmp_path / "a.parquet"), str(tmp_path / "d"), threshold=0.9, **options)


def test_clusters_are_put_into_tasks_in_their_order_until_one_has_its_part():
    assert tasks_of_clusters(np.full(128, 1000)).tolist() == np.repeat(np.arange(64), 2).tolist()
    sizes = np.array([10, 10**9, 20, 30])
    assert tasks_of_clusters(sizes).tolist() == [0, 0, 1, 1]


@pytest.mark.ray
def test_a_cluster_that_the_memory_does_not_hold_is_said_before_it_is_compared(clustered, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.curation.duplicates.find.free_bytes", lambda: 1000)
    with pytest.raises(UserError, match=r"takes .* to compare, and 1 kB are free here; cluster again with more clusters"):
        find_duplicates(str(clustered), str(tmp_path / "d"), threshold=0.9)
