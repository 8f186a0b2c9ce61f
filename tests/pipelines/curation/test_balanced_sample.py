"""Balanced samples of a clustering: how many of each cluster, which, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.curation.balanced_sample import random_order, write_sample
from pipelines.errors import UserError
from tests.helpers.inputs.lumps import CLUSTERS, LUMP_ROWS


def labels_of(run, head=0):
    table = pq.read_table(run / "labels")
    return table["id"].to_pylist(), table[f"label_head{head}"].to_numpy(), table[f"similarity_head{head}"].to_numpy()


def relabelled(run, to, files):
    """The run with its labels in another number of files."""
    shutil.copytree(run, to)
    table = pq.read_table(to / "labels")
    shutil.rmtree(to / "labels")
    (to / "labels").mkdir()
    for number, places in enumerate(np.array_split(np.arange(len(table)), files)):
        pq.write_table(table.take(pa.array(places)), to / "labels" / f"part-{number:06d}.parquet", row_group_size=100)
    return to


@pytest.mark.ray
@pytest.mark.parametrize(("pick", "sign"), [("nearest", -1), ("farthest", 1)])
def test_so_many_of_each_cluster_are_the_nearest_or_the_farthest(clustered, tmp_path, pick, sign):
    made = write_sample(str(clustered), str(tmp_path), per_cluster=60, pick=pick, head=1)
    ids, labels, similarity = labels_of(clustered, 1)
    expected = []
    for cluster in range(7):
        mine = np.flatnonzero(labels == cluster)
        expected += [ids[place] for place in mine[np.argsort(sign * similarity[mine], kind="stable")][:60]]
    table = pq.read_table(tmp_path / "sample.parquet")
    assert table["id"].to_pylist() == expected
    assert made.taken.tolist() == np.minimum(np.bincount(labels), 60).tolist()
    assert table.column_names == ["id", "cluster", "similarity"]


@pytest.mark.ray
def test_all_of_a_cluster_that_has_fewer_and_how_many_have(clustered, tmp_path):
    _, labels, _ = labels_of(clustered)
    sizes = np.bincount(labels, minlength=CLUSTERS)
    most = int(np.sort(sizes)[2]) + 1
    made = write_sample(str(clustered), str(tmp_path / "a.parquet"), per_cluster=most)
    assert made.short == (sizes < most).sum() >= 3
    assert made.taken.tolist() == np.minimum(sizes, most).tolist()


@pytest.mark.ray
def test_a_total_is_exact_even_and_the_same_for_any_number_of_files(clustered, tmp_path):
    first = write_sample(str(clustered), str(tmp_path / "a.parquet"), total=777, seed=5)
    assert first.taken.sum() == 777
    open_ones = first.taken[first.taken < first.sizes]
    assert first.taken.max() <= open_ones.min() + 1
    again = relabelled(clustered, tmp_path / "files", 7)
    write_sample(str(again), str(tmp_path / "b.parquet"), total=777, seed=5)
    write_sample(str(clustered), str(tmp_path / "c.parquet"), total=777, seed=6)
    tables = [pq.read_table(tmp_path / f"{name}.parquet") for name in "abc"]
    assert tables[0].equals(tables[1])
    assert tables[0]["id"].to_pylist() != tables[2]["id"].to_pylist()
    assert len(set(tables[0]["id"].to_pylist())) == 777
    assert json.loads(tables[0].schema.metadata[b"quorum.sample"])["seed"] == 5
    assert write_sample(str(clustered), str(tmp_path / "d.parquet"), total=LUMP_ROWS).taken.sum() == LUMP_ROWS


@pytest.mark.ray
def test_rows_that_are_dropped_on_the_way_change_nothing(clustered, tmp_path, monkeypatch):
    for pick in ("nearest", "random"):
        write_sample(str(clustered), str(tmp_path / f"{pick}-a.parquet"), total=300, pick=pick)
    monkeypatch.setattr("pipelines.curation.balanced_sample.HELD", 10)
    again = relabelled(clustered, tmp_path / "files", 30)
    for pick in ("nearest", "random"):
        write_sample(str(again), str(tmp_path / f"{pick}-b.parquet"), total=300, pick=pick)
        assert pq.read_table(tmp_path / f"{pick}-a.parquet").equals(pq.read_table(tmp_path / f"{pick}-b.parquet"))


def test_the_random_order_is_even_and_of_each_seed_its_own():
    order = random_order(np.arange(100_000), 3)
    assert (np.bincount((order * 10).astype(int)) > 9_600).all()
    assert len(np.unique(order)) == 100_000
    assert abs(np.corrcoef(order, random_order(np.arange(100_000), 4))[0, 1]) < 0.02


@pytest.mark.ray
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "give one of --per-cluster M, rows of each cluster, and --total N"),
        ({"per_cluster": 3, "total": 3}, "give one of --per-cluster"),
        ({"per_cluster": 0}, "--per-cluster is 0; it must be a whole number, at least 1"),
        ({"total": -1}, "--total is -1"),
        ({"total": 3000}, r"--total is 3,000, and .* has 2,000 rows"),
        ({"total": 3, "pick": "nearst"}, "--pick is 'nearst'; nearest valid name: nearest"),
        ({"total": 3, "seed": -1}, "--seed is -1"),
        ({"total": 3, "head": 2}, "has labels of heads 0, 1; there is no head 2"),
    ],
)
def test_what_cannot_be_sampled_is_refused_in_one_sentence(clustered, tmp_path, options, words):
    with pytest.raises(UserError, match=words):
        write_sample(str(clustered), str(tmp_path / "a.parquet"), **options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ray
@pytest.mark.parametrize("to", ["labels", "labels/mine.parquet", "centers.parquet", "sizes.parquet"])
def test_a_clusterings_own_files_are_not_replaced_and_its_labels_not_mixed(clustered, to):
    before = {path: path.read_bytes() for path in clustered.rglob("*.parquet")}
    with pytest.raises(UserError, match=r"is a place of what .* itself is made of; choose another"):
        write_sample(str(clustered), str(clustered / to), total=3, overwrite=True)
    assert {path: path.read_bytes() for path in clustered.rglob("*.parquet")} == before


@pytest.mark.ray
@pytest.mark.parametrize("to", ["", "mine.parquet", "below/mine.parquet"])
def test_no_sample_is_written_among_the_rows_that_it_is_of(clustered, lumps, to):
    with pytest.raises(UserError, match="whose files are all read as rows; choose another place"):
        write_sample(str(clustered), f"{lumps}/{to}", total=3, overwrite=True)
    assert not list(Path(lumps).rglob("mine.parquet"))


@pytest.mark.ray
def test_a_file_of_another_kind_does_not_become_a_folder_of_its_name(clustered, tmp_path):
    with pytest.raises(UserError, match=r"sample\.csv, and samples are Parquet"):
        write_sample(str(clustered), str(tmp_path / "sample.csv"), per_cluster=1)
    assert not (tmp_path / "sample.csv").exists()


def test_a_sample_that_is_there_and_runs_without_labels_are_refused(clustered, tmp_path):
    write_sample(str(clustered), str(tmp_path / "a.parquet"), per_cluster=1)
    with pytest.raises(UserError, match="is there already; choose another --to or give --overwrite"):
        write_sample(str(clustered), str(tmp_path / "a.parquet"), per_cluster=1)
    write_sample(str(clustered), str(tmp_path / "a.parquet"), per_cluster=2, overwrite=True)
    with pytest.raises(UserError, match="is a file of centers, which has no labels"):
        write_sample(str(clustered / "centers.parquet"), str(tmp_path / "b.parquet"), per_cluster=1)
    unfinished = relabelled(clustered, tmp_path / "run", 1)
    (unfinished / "labels" / "part-000000.parquet").unlink()
    with pytest.raises(
        UserError, match=r"holds no file of labels, and 2,000 were written; .* label again: quorum cluster --resume"
    ):
        write_sample(str(unfinished), str(tmp_path / "b.parquet"), per_cluster=1)
    (unfinished / "clusters.json").unlink()
    with pytest.raises(UserError, match="is not finished; go on with it"):
        write_sample(str(unfinished), str(tmp_path / "b.parquet"), per_cluster=1)


@pytest.mark.ray
def test_damaged_labels_are_named(clustered, tmp_path):
    run = relabelled(clustered, tmp_path / "run", 2)
    part = run / "labels" / "part-000001.parquet"
    table = pq.read_table(part)
    pq.write_table(table.set_column(1, "label_head0", pa.array(np.full(len(table), 99), pa.int32())), part)
    with pytest.raises(UserError, match=r"part-000001.parquet holds a label outside 0 to 19"):
        write_sample(str(run), str(tmp_path / "a.parquet"), per_cluster=1)
    pq.write_table(table.drop_columns("label_head0"), part)
    with pytest.raises(UserError, match="has no column 'label_head0'"):
        write_sample(str(run), str(tmp_path / "a.parquet"), per_cluster=1)
    part.write_bytes(part.read_bytes()[:200])
    with pytest.raises(UserError, match=r"part-000001.parquet is damaged"):
        write_sample(str(run), str(tmp_path / "a.parquet"), per_cluster=1)


@pytest.mark.ray
def test_labels_that_are_not_all_there_are_refused(clustered, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(clustered, copy)
    (copy / "labels" / "part-000000.parquet").unlink()
    with pytest.raises(UserError, match=r"labels holds [\d,]+ labels, and 2,000 were written; restore its files"):
        write_sample(str(copy), str(tmp_path / "other.parquet"), total=10)
