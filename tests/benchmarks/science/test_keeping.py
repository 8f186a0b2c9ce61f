"""Finished runs of a study are kept, from any store; others are left out and named."""

from __future__ import annotations

import pytest

from benchmarks.science.configurations import Places, configuration
from benchmarks.science.keeping import keep
from benchmarks.science.scores import read_scores
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.tracking.journal import Journal
from tests.benchmarks.science.small_study import studies_of


@pytest.fixture
def studies(tmp_path):
    return studies_of(tmp_path)


def leave(store, studies, place, name, *, score=0.5, status="FINISHED", **settings):
    """The folder and the record that a run of the small study leaves; under another name, one that no study asks for."""
    study = studies["small"]
    planned = next((run for run in study.runs() if run.name == name), study.runs()[0])
    config = configuration(study, studies, planned, Places(place, place, {**settings, "name": name}))
    run = Run.start(
        Location.of(str(place / name)), "pretrain", config.to_dict(), "f", uri=store.uri, experiment="science", name=name,
        params={}, tags={},
    )  # fmt: skip
    journal = Journal(place / name)
    journal.append({"kind": "status", "status": status, "time": 0})
    journal.close()
    for step in range(3):
        store.client.log_metric(run.address.run_id, "test/knn_top1", score, step=step)
    store.client.set_terminated(run.address.run_id, status)


def test_finished_runs_of_all_stores_are_kept_and_the_others_named(store, studies, tables, tmp_path):
    other = type(store)(tmp_path / "other")
    other.folder.mkdir()
    (other.folder / "mlflow.db").write_bytes(tables.read_bytes())
    other.run("before", experiment="elsewhere")
    runs, file = tmp_path / "runs", tmp_path / "kept" / "runs.parquet"
    leave(store, studies, runs, "small.a.x.1", score=0.6)
    leave(other, studies, runs, "small.b.y.2", score=0.7)
    leave(store, studies, runs, "small.a.x.2", status="FAILED")
    leave(store, studies, runs, "small.a.x.3", epochs=2)
    leave(store, studies, runs, "strange")
    assert keep(studies, runs, file) == [
        "small.a.x.2 is left out: it is not finished",
        "small.a.x.3 is left out: it has other settings than its study (epochs 2, not 3)",
        "strange is left out: no study asks for it",
        f"2 runs kept in {file}, which holds 2",
    ]
    scores = read_scores(studies["small"], file)
    assert {run.name: value for run, value in scores.of_runs.items()} == {
        "small.a.x.1": pytest.approx(0.6), "small.b.y.2": pytest.approx(0.7),
    }  # fmt: skip
    assert scores.left_out == []


def test_a_run_that_starts_elsewhere_is_left_out_and_named(store, studies, tmp_path):
    leave(store, studies, tmp_path / "runs", "small.a.x.1")
    leave(store, studies, tmp_path / "runs", "small.a.x.2", init_from="timm/resnet18.a1_in1k")
    assert keep(studies, tmp_path / "runs", tmp_path / "runs.parquet")[0] == (
        "small.a.x.2 is left out: it has other settings than its study (init_from timm/resnet18.a1_in1k, not None)"
    )


def test_a_folder_without_finished_runs_is_refused(store, studies, tmp_path):
    leave(store, studies, tmp_path / "runs", "small.a.x.2", status="FAILED")
    with pytest.raises(UserError, match=r"holds no finished run of a study. small.a.x.2 is left out: it is not finished"):
        keep(studies, tmp_path / "runs", tmp_path / "kept.parquet")
    assert not (tmp_path / "kept.parquet").exists()
