"""Runs in a file: compared without their store they give the same table, and a file is added to, never mixed up."""

from __future__ import annotations

import json
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient

from pipelines.errors import UserError
from tune.comparison import kept_runs
from tune.comparison.compare import compare
from tune.comparison.kept_runs import without_folders
from tune.comparison.mlflow_runs import find, keep_runs
from tune.comparison.tables import run_rows, setting_rows


@pytest.fixture
def sweep(store) -> str:
    parent = store.sweep("ablation")
    for seed, last in enumerate((0.90, 0.91, 0.92)):
        store.trial(parent, {"n": 100}, seed, values=(0.5, last), sizes=[(40.0, 30, 200), (40.0, 36, 150)])
        store.trial(parent, {"n": 10}, seed, values=(0.5, last - 0.2))
    store.trial(parent, {"n": 10}, 3, values=(0.99,), outcome="stopped", seconds=30)
    store.trial(parent, {"n": 1}, 0, outcome="failed", reason="no room for batches", seconds=5)
    return parent


def without_ids(table):
    header, rows = table
    return [[cell for name, cell in zip(header, row, strict=True) if "store" not in name] for row in rows]


def test_kept_runs_compare_as_they_did_in_their_store(store, sweep, tmp_path):
    file = str(tmp_path / "runs.parquet")
    before = compare([sweep], keep=file, to=str(tmp_path / "first"))
    assert f"9 runs kept in {file}, which holds 9" in before.notes
    for name in (sweep, "quorum"):
        after = compare([name], file, to=str(tmp_path / "second"))
        assert setting_rows(after) == setting_rows(before)
        assert without_ids(run_rows(after)) == without_ids(run_rows(before))
        assert after.importance == before.importance
        assert after.notes[:-1] == before.notes[1:-1]
    assert (tmp_path / "second" / "cluster-sizes.png").exists()


def test_a_run_that_is_kept_again_takes_its_own_place(store, sweep, tmp_path):
    file = str(tmp_path / "runs.parquet")
    compare([sweep], keep=file)
    store.trial(sweep, {"n": 10}, 4, values=(0.1, 0.2))
    assert f"10 runs kept in {file}, which holds 10" in compare([sweep], keep=file).notes
    table = pq.read_table(file)
    assert table.schema.metadata[b"quorum.runs"] == b"1"
    assert len(set(table["run_id"].to_pylist())) == 10


def test_what_is_kept_by_two_at_once_is_all_kept(store, tmp_path, monkeypatch):
    found = [find([store.run(name, values=(0.5,))], store.uri) for name in ("a", "b")]
    file, read = str(tmp_path / "runs.parquet"), kept_runs._rows

    def read_slowly(location):
        rows = read(location)
        time.sleep(0.3)
        return rows

    keep_runs(find([store.run("first", values=(0.5,))], store.uri), file)
    monkeypatch.setattr(kept_runs, "_rows", read_slowly)
    with ThreadPoolExecutor(2) as both:
        assert len(list(both.map(lambda each: keep_runs(each, file), found))) == 2
    assert sorted(pq.read_table(file)["name"].to_pylist()) == ["a", "b", "first"]


def test_a_run_that_is_going_is_left_out_and_said(store, sweep, tmp_path):
    client = MlflowClient(store.uri)
    parent = client.get_run(sweep)
    client.create_run(parent.info.experiment_id, tags={"mlflow.parentRunId": sweep, "quorum.point": "{}"})
    file = str(tmp_path / "runs.parquet")
    assert f"9 runs kept in {file}, which holds 9; 1 are still going and were left out" in compare([sweep], keep=file).notes


def test_other_files_are_refused_and_stay(store, sweep, tmp_path):
    file = tmp_path / "other.parquet"
    pq.write_table(pa.table({"x": [1]}), file)
    for act in (lambda: compare([sweep], str(file)), lambda: compare([sweep], keep=str(file))):
        with pytest.raises(UserError, match=r"other.parquet holds no runs that quorum compare --keep wrote"):
            act()
    assert pq.read_table(file).column_names == ["x"]
    with pytest.raises(UserError, match="is not there"):
        compare([sweep], str(tmp_path / "none.parquet"))
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(UserError, match="is no Parquet file"):
        compare([sweep], str(tmp_path / "text.parquet"))


def test_files_of_other_versions_and_without_their_columns_are_refused(store, sweep, tmp_path):
    kept = tmp_path / "new" / "folder" / "runs.parquet"
    compare([sweep], keep=str(kept))
    table, file = pq.read_table(kept), str(tmp_path / "other.parquet")
    pq.write_table(table.replace_schema_metadata({"quorum.runs": "2"}), file)
    with pytest.raises(UserError, match=r"holds runs of format 2, and this version reads format 1; upgrade quorum"):
        compare([sweep], file)
    pq.write_table(table.drop(["figures"]).replace_schema_metadata(table.schema.metadata), file)
    with pytest.raises(UserError, match="holds no runs that quorum compare --keep wrote"):
        compare([sweep], file)


def test_what_a_file_does_not_have_is_named(store, sweep, tmp_path):
    file = str(tmp_path / "runs.parquet")
    compare([sweep], keep=file)
    with pytest.raises(UserError, match=r"runs.parquet has no experiment 'qorum'.*nearest valid name: quorum"):
        compare(["qorum"], file)
    with pytest.raises(UserError, match="has no run " + "0" * 32):
        compare(["0" * 32], file)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda row: row.update(start_time=None), "its start_time is None"),
        (lambda row: row.update(tags=None), "its tags is None"),
        (lambda row: row.update(figures=None), "its figures is None"),
        (lambda row: row.update(status=None), "its status is None"),
        (lambda row: row["figures"][0].update(name=None), "its name is None"),
        (lambda row: row["figures"][0].update(steps=None), "its steps is None"),
        (lambda row: row["figures"].append(None), "it holds None, and no keys"),
        (lambda row: row["figures"][0]["steps"].pop(), "lacks a step or a value"),
        (lambda row: row["figures"][0]["values"].__setitem__(0, None), "lacks a step or a value"),
    ],
    ids=["start", "tags", "figures", "status", "a figure's name", "its steps", "a figure", "a step too few", "no value"],
)
def test_a_file_in_which_something_of_a_run_is_missing_is_refused(store, tmp_path, damage, said):
    run, file = store.run("first", values=(0.5, 0.6)), str(tmp_path / "runs.parquet")
    keep_runs(find([run], store.uri), file)
    table = pq.read_table(file)
    (row,) = table.to_pylist()
    damage(row)
    pq.write_table(pa.Table.from_pylist([row], table.schema), file)
    for use in (lambda: find([run], file), lambda: keep_runs(find([run], store.uri), file)):
        with pytest.raises(UserError, match=rf"runs.parquet is cut short or damaged.*{re.escape(said)}.*; fetch it again"):
            use()


def test_a_file_that_has_a_run_twice_or_a_figure_that_was_changed_is_refused(store, tmp_path):
    values = (0.123456, 0.5)
    run, file = store.run("first", values=values), tmp_path / "runs.parquet"
    keep_runs(find([run], store.uri), str(file))
    whole = file.read_bytes()
    table = pq.read_table(file)
    pq.write_table(pa.concat_tables([table, table]), file)
    with pytest.raises(UserError, match=f"it has the run {run} twice"):
        find([run], str(file))
    place = whole.index(np.float64(values[0]).tobytes())
    file.write_bytes(whole[:place] + np.float64(0.9).tobytes() + whole[place + 8 :])
    with pytest.raises(UserError, match="damaged"):
        find([run], str(file))


def test_runs_of_one_experiment_in_several_stores_are_one_experiment(store, tables, tmp_path):
    other = type(store)(tmp_path / "other")
    other.folder.mkdir()
    shutil.copy(tables, other.folder / "mlflow.db")
    other.run("strange", experiment="before", values=(0.1,))  # so that the experiments of one id differ, and those of one name
    runs = [(each, each.run(name, experiment="one", values=(0.5,))) for name, each in (("a", store), ("b", other))]
    file = str(tmp_path / "runs.parquet")
    for each, run in runs:
        keep_runs(find([run], each.uri), file)
    keep_runs(find(["before"], other.uri), file)
    assert sorted(run.info.run_name for _, run in find(["one"], file).runs) == ["a", "b"]
    assert [run.info.run_name for _, run in find(["before"], file).runs] == ["strange"]


def test_the_final_score_is_the_one_that_was_found_last_also_of_kept_runs(store, tmp_path):
    run = store.run("first", values=(0.5, 0.6))
    for step, score, when in ((20, 0.7, 1), (10, 0.8, 2)):  # of the last checkpoint, and then of the best one
        store.client.log_metric(run, "evaluate/test/knn_top1", score, timestamp=when, step=step)
    file = str(tmp_path / "runs.parquet")
    keep_runs(find([run], store.uri), file)
    found = [compare([run], uri, metric="test/knn_top1", final=True).lines[0].final.mean for uri in (None, file)]
    assert found == [0.8, 0.8]


def test_a_run_that_a_copy_of_its_store_has_too_counts_once(store, tmp_path):
    run = store.run("first", values=(0.5, 0.6))
    shutil.copy(store.folder / "mlflow.db", tmp_path / "copied.db")
    folder = tmp_path / "run"
    folder.mkdir()
    address = {"uri": f"sqlite:///{tmp_path}/copied.db", "experiment_id": "1", "run_id": run}
    (folder / "run.json").write_text(json.dumps({"mlflow": address}))
    assert [each.info.run_id for _, each in find([run, str(folder)]).runs] == [run]


def test_what_machines_did_is_not_kept(store, sweep, tmp_path):
    run = store.run("first", values=(0.5, 0.6), metric="test/knn_top1")
    store.client.log_metric(run, "system/cpu_utilization_percentage", 50.0)
    compare([run], keep=str(tmp_path / "runs.parquet"), metric="test/knn_top1")
    (row,) = pq.read_table(tmp_path / "runs.parquet").to_pylist()
    assert {"test/knn_top1"} <= {figure["name"] for figure in row["figures"]}
    assert not any(figure["name"].startswith("system/") for figure in row["figures"])


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/a/data/digits", "…/digits"),
        ("sqlite:////home/a/mlflow.db", "sqlite:///…/mlflow.db"),
        ("split `train` of `/home/a/data/digits`; then /srv/b/c.json.", "split `train` of `…/digits`; then …/c.json."),
        ("s3://bucket/data/digits", "s3://bucket/data/digits"),
        ("https://host/a/b", "https://host/a/b"),
        ("data/digits", "data/digits"),
        ("0.5/0.9", "0.5/0.9"),
        ("a 1/2 of /digits", "a 1/2 of /digits"),
    ],
)
def test_folders_of_this_machine_are_not_kept(text, kept):
    assert without_folders(text) == kept
