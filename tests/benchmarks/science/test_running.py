"""Processes side by side train every run once, and a run that is there is neither repeated nor mistaken for another."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.science import running
from benchmarks.science.configurations import Places, configuration
from benchmarks.science.read_studies import read_studies
from benchmarks.science.running import held, is_finished, run_missing, share_of
from pipelines.datasets.label_selection import choose_per_class
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.tracking.journal import Journal
from tests.benchmarks.science.small_study import SMALL, studies_of
from tests.helpers.inputs.digit_shards import write_digits
from tune.comparison.mlflow_runs import find


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_shares_cover_every_run_once(count):
    runs = read_studies()["few-labels"].runs()
    shares = [share_of(runs, index, count) for index in range(1, count + 1)]
    assert sorted(run.name for share in shares for run in share) == sorted(run.name for run in runs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_two_processes_do_not_train_one_run(tmp_path):
    run = read_studies()["coke"].runs()[0]
    with held(tmp_path, run), pytest.raises(UserError, match="another process is at it"), held(tmp_path, run):
        pass
    with held(tmp_path, run):
        pass


def begun(folder, studies, store, *, status, index=0, **settings):
    """A run of the small study, as training leaves it."""
    study = studies["small"]
    run = study.runs()[index]
    places = Places(folder, folder, settings)
    config = configuration(study, studies, run, places)
    Run.start(
        Location.of(str(places.folder(run))), "pretrain", config.to_dict(), "f", uri=store.uri, experiment="science",
        name=run.name, params={}, tags={},
    )  # fmt: skip
    journal = Journal(places.folder(run))
    for told in status:
        journal.append({"kind": "status", "status": told, "time": 0})
    journal.close()
    return run, places


def test_a_finished_run_is_not_repeated(tmp_path, store, capsys):
    studies = studies_of(tmp_path)
    run, places = begun(tmp_path, studies, store, status=("RUNNING", "FINISHED"))
    assert is_finished(places.folder(run))
    assert run_missing(studies["small"], studies, [run], places) == {}
    assert "small.a.x.1: is there" in capsys.readouterr().out


def test_a_finished_run_has_its_tags_though_a_process_ended_before_it_gave_them(tmp_path, store):
    studies = studies_of(tmp_path)
    run, places = begun(tmp_path, studies, store, status=("RUNNING", "FINISHED"))
    run_missing(studies["small"], studies, [run], places)
    (recorded,) = find(["science"], store.uri).runs
    tags = {key: value for key, value in recorded[1].data.tags.items() if key.startswith("quorum.")}
    assert tags == {"quorum.study": "small", "quorum.cell": "a", "quorum.arm": "x", "quorum.seed": "1"}


def test_a_run_that_was_gone_on_with_is_not_finished_before_its_own_end(tmp_path, store):
    run, places = begun(tmp_path, studies_of(tmp_path), store, status=("RUNNING", "FAILED", "RUNNING"))
    assert not is_finished(places.folder(run))
    assert not is_finished(tmp_path / "nothing")


def test_a_run_that_fails_is_told_and_does_not_stop_the_next(tmp_path, store, capsys):
    studies = studies_of(tmp_path)
    first, _ = begun(tmp_path, studies, store, status=("RUNNING", "FINISHED"), epochs=2)
    second, places = begun(tmp_path, studies, store, status=("RUNNING", "FINISHED"), index=1)
    failed = run_missing(studies["small"], studies, [first, second], places)
    assert list(failed) == [first.name]
    assert "holds a run of other settings (epochs 2, not 3); remove it" in failed[first.name]
    assert "2 of 2 small.a.y.1: is there" in capsys.readouterr().out


@pytest.mark.parametrize("setting", [{"compute.precision": "bf16"}, {"compute.workers": 2}, {"compute.channels_last": False}])
def test_a_run_of_other_numbers_is_another_run(tmp_path, store, setting):
    studies = studies_of(tmp_path)
    run, places = begun(tmp_path, studies, store, status=("RUNNING", "FINISHED"), **setting)
    failed = run_missing(studies["small"], studies, [run], replace(places, settings={}))
    assert f"holds a run of other settings ({next(iter(setting))} " in failed[run.name]


def test_a_run_on_more_threads_is_the_same(tmp_path, store):
    studies = studies_of(tmp_path)
    run, places = begun(tmp_path, studies, store, status=("FINISHED",), **{"compute.threads": 2, "compute.max_failures": 0})
    assert run_missing(studies["small"], studies, [run], replace(places, settings={})) == {}


def test_a_finished_run_on_data_that_were_ingested_again_is_not_taken_for_the_wanted_one(tmp_path, store):
    studies = studies_of(tmp_path)
    run, places = begun(tmp_path, studies, store, status=("RUNNING", "FINISHED"))
    now = write_digits(tmp_path / "digits", 100, 100).fingerprint
    failed = run_missing(studies["small"], studies, [run], places)
    assert f"holds a run of other inputs (data.fingerprint f, not {now}); remove it" in failed[run.name]


def test_labels_of_another_rule_are_refused_before_anything_starts(tmp_path, store, monkeypatch):
    monkeypatch.setattr(running, "connect", lambda *_, **__: pytest.fail("Ray was asked for"))
    studies, places = read_studies(), Places(tmp_path, tmp_path)
    run = studies["few-labels"].runs(["digits-4"], ["protocon"], [1])[0]
    dataset = write_digits(tmp_path / "digits", 300, 300)
    file = tmp_path / "digits-labels" / "per-class-4-seed-1.json"
    choose_per_class(dataset, "train", 5, 1).save(str(file))
    failed = run_missing(studies["few-labels"], studies, [run], places)
    assert failed[run.name] == (
        f"{file} was chosen by another rule (5 per class, seed 1, not 4 per class, seed 1); remove it, or give another --data"
    )


def test_a_run_waits_for_the_one_that_it_starts_from(tmp_path, store):
    more = SMALL.replace("x: {}", "x: {init_from: {study: first, arm: z}}") + SMALL.split("studies:\n")[1].replace(
        "small:", "first:"
    ).replace("x: {}", "z: {}").replace("arm: x", "arm: z")
    studies = studies_of(tmp_path, more)
    run = studies["small"].runs()[0]
    failed = run_missing(studies["small"], studies, [run], Places(tmp_path, tmp_path))
    assert failed == {"small.a.x.1": "it starts from first.a.z.1, which is not finished; first run study first"}
