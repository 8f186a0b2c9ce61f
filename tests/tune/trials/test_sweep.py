"""A sweep on a real local Ray with a real MLflow store: trials side by side, a failed one, a stop, and a resume."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
import ray
import yaml
from mlflow.tracking import MlflowClient

from pipelines.config.recipe import read_stored
from pipelines.datasets.image_shards import Dataset
from pipelines.errors import UserError
from pipelines.files.documents import write_document
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.runs.run_folder import RUN_FILE, SWEEP_FILE, Run
from pipelines.training.launch import train
from quorum.cli import main
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.pages.browser import PATIENT, needs_browser, page_made, served, texts_of
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS as RECIPE
from tests.helpers.runs.killed_runs import differing, final_state, learned, wait_for_step
from tests.helpers.runs.small_runs import SMALL
from tests.helpers.runs.sweeps import small
from tests.helpers.runs.version_0_1 import SWEEP, unpack
from tune.points import spelled
from tune.search.plan import Plan, trial_name
from tune.search.sweep_config import BudgetConfig, SchedulerConfig, SweepConfig
from tune.trials.population import LINEAGE_FILE
from tune.trials.progress_board import Board, TrialLine
from tune.trials.sweep import SWEEP_FORMAT, _begun_from, _close, _create, _end_runs, _reopen, sweep
from tune.trials.trial import OUTCOME_FILE, outcome_of

pytestmark = [pytest.mark.ray, pytest.mark.job, pytest.mark.timeout(600)]

SETTINGS = {
    "epochs": 3, "batch_size": 64, "backbone": {"name": "wrn-10-1", "stem": "auto", "options": {}}, "method.dim": 16,
    "method.predictor_hidden": 16, "monitor.knn_epochs": 1, "monitor.picture_epochs": 0, "optimizer.warmup_epochs": 0,
    "compute.threads": 1, "compute.max_failures": 0,
}  # fmt: skip


def config(digits: str, storage: Path, **parts) -> SweepConfig:
    given = {
        "kind": "pretrain", "recipe": RECIPE, "name": "sweep", "storage": str(storage), "concurrent": 2,
        "settings": SETTINGS | {"data": digits}, "space": {"K": {"grid": [20]}, "ratio": {"grid": [0.4, 1.0]}},
    }  # fmt: skip
    return SweepConfig(**(given | parts))


def trials(address) -> list:
    client = MlflowClient(address.uri)
    found = client.search_runs([address.experiment_id], f"tags.`mlflow.parentRunId` = '{address.run_id}'")
    return sorted(found, key=lambda run: run.data.tags["quorum.point"])


def history(address, run, name="test/knn_top1") -> list:
    return MlflowClient(address.uri).get_metric_history(run.info.run_id, name)


@pytest.fixture(scope="module")
def done(digits, tmp_path_factory):
    """Three trials, two at a time, started with relative paths as the README does; that of ratio 0.4 is the run `straight`."""
    storage = tmp_path_factory.mktemp("sweeps")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(storage)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        shutil.copy(RECIPE, "recipe.yaml")
        space = {"ratio": {"grid": [1.0, 0.2, 0.4]}}  # the last one finds a process that another has trained in
        same = settings_of(SMALL) | {"data": os.path.relpath(digits)}
        settings = config("", Path(), recipe="recipe.yaml", space=space, settings=same)
        address = sweep(settings)
    (storage / "recipe.yaml").write_text("epochs: 100\n")  # a resume has the base as it was
    return storage / "sweep", address


def test_each_trial_is_a_child_with_its_settings_curves_and_outcome(done):
    folder, address = done
    assert address.uri == f"sqlite:///{folder.parent}/mlflow.db"
    assert {path.name for path in folder.parent.iterdir()} == {
        "sweep",
        "recipe.yaml",
        "mlflow.db",
        "mlflow.db.lock",
        "mlartifacts",
    }
    client = MlflowClient(address.uri)
    parent = client.get_run(address.run_id)
    assert parent.info.status == "FINISHED"
    assert (parent.data.tags["quorum.kind"], parent.data.tags["quorum.metric"]) == ("sweep", "test/knn_top1")
    about = parent.data.tags["mlflow.note.content"]
    assert about.startswith(
        "Searches `ratio` of `quorum pretrain` with 3 trials (grid, seeds 0), each of up to 4 epochs of 1,438 images"
    )
    assert f"quorum sweep --config {folder}/sweep.yaml --recipe {folder}/base.yaml --to {folder}-again" in about
    children = trials(address)
    assert [json.loads(run.data.tags["quorum.point"]) for run in children] == [{"ratio": ratio} for ratio in (0.2, 0.4, 1.0)]
    for run in children:
        point = json.loads(run.data.tags["quorum.point"])
        assert run.data.tags["mlflow.note.content"].startswith("A trial of the sweep `sweep`. Trains the backbone")
        assert run.data.tags["mlflow.source.name"] == parent.data.tags["mlflow.source.name"]  # not the process it trains in
        assert run.info.status == "FINISHED"
        assert run.data.params["method.num_clusters"] == "[30, 20]"
        assert run.data.params["method.min_size_ratio"] == str(point["ratio"])
        assert len(history(address, run)) == 3
        assert run.info.end_time - history(address, run)[-1].timestamp < 20_000  # not the end of the sweep


def test_a_trial_ends_in_the_bits_of_the_same_run_alone(done, straight):
    plan = Plan.of(read_stored(str(done[0] / "sweep.yaml"), SweepConfig, {"recipe": str(done[0] / "base.yaml")}))
    trial = Path(plan.run_folder({"ratio": 0.4}, 0).path)
    assert differing(learned(final_state(trial, 4)), learned(final_state(straight, 4))) == []


@pytest.mark.slow
@needs_browser
def test_mlflows_pages_list_the_sweep_with_its_trials_and_compare_them_by_its_keys(done, tmp_path):
    _, address = done
    runs = [run.info.run_id for run in trials(address)]
    chosen = urlencode({"runs": json.dumps(runs), "experiments": json.dumps([address.experiment_id])})
    with served(address.uri, tmp_path) as server:
        experiment = f"{server}/#/experiments/{address.experiment_id}"
        listed = texts_of(page_made(f"{experiment}/runs?workflowType=machine_learning", *PATIENT))
        compared = texts_of(page_made(f"{server}/#/compare-runs?{chosen}", *PATIENT))
    assert {"sweep", "4", "matching runs"} <= set(listed)  # the trials are folded below it
    assert {"Comparing 3 Runs from 1 Experiment", "Parallel Coordinates Plot", "method.min_size_ratio"} <= set(compared)
    assert {"0.20000", "1.00000"} <= set(compared)  # the ends of its axis


def test_a_resume_repeats_no_finished_trial_and_runs_the_rest(done, monkeypatch, tmp_path, capsys):
    folder, address = done
    monkeypatch.chdir(tmp_path)  # from anywhere
    plan = Plan.of(read_stored(str(folder / "sweep.yaml"), SweepConfig, {"recipe": str(folder / "base.yaml")}))
    (plan.run_folder({"ratio": 1.0}, 0) / OUTCOME_FILE).delete_file()  # as if it had been cut off at its end
    before = {run.info.run_id: run.info.end_time for run in trials(address)}
    main(["sweep", "--resume", str(folder)])
    assert "3 runs: 3 finished" in capsys.readouterr().out
    after = trials(address)
    assert {run.info.run_id for run in after} == before.keys()
    assert after[0].info.end_time == before[after[0].info.run_id]
    assert [len(history(address, run)) for run in after] == [3, 3, 3]
    assert MlflowClient(address.uri).get_run(address.run_id).info.status == "FINISHED"
    with pytest.raises(UserError, match=r"already holds a sweep.*--resume"):
        sweep(plan.config)


def test_a_sweep_that_another_process_writes_is_not_gone_on_with_nor_is_a_trial_of_it(done, capsys):
    trial = next(path.parent for path in done[0].glob("*/run.json"))
    with one_writer(Location.of(done[0])):
        for words in (["sweep", "--resume", str(done[0])], ["pretrain", "--resume", str(trial)]):
            with pytest.raises(SystemExit):
                main(words)
            assert f"{done[0]} is being written by process" in capsys.readouterr().err


def test_a_sweep_is_not_gone_on_with_on_other_data(done, digits, capsys):
    note = Location.of(done[0] / SWEEP_FILE)
    begun, now = note.read_json(), Dataset.open(digits).fingerprint
    assert begun["data"] == now
    write_document(note, {"mlflow": begun["mlflow"], "data": "0123456789abcdef"}, SWEEP_FORMAT)
    with pytest.raises(SystemExit):
        main(["sweep", "--resume", str(done[0])])
    write_document(note, {"mlflow": begun["mlflow"], "data": now}, SWEEP_FORMAT)
    assert f"{digits} has fingerprint {now}, the sweep was started on 0123456789abcdef; its trials" in capsys.readouterr().err


def test_nor_on_other_data_in_its_space(some_digits, tmp_path):
    place, copy = str(some_digits.location), str(shutil.copytree(some_digits.location.path, tmp_path / "copy"))
    plan = Plan.of(small(place, tmp_path, space={"data": {"grid": [place, copy]}}))
    _create(plan)
    _reopen(plan)
    shutil.rmtree(copy)
    other = write_digits(Path(copy), 200, 100).fingerprint
    with pytest.raises(UserError, match=f"{copy} has fingerprint {other}, the sweep was started on {plan.dataset.fingerprint}"):
        _reopen(Plan.of(plan.config))


def test_relative_places_in_a_space_count_from_the_folder_that_the_sweep_was_begun_in(some_digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        shutil.copytree(some_digits.location.path, name)
    plan = Plan.of(small("first", tmp_path, space={"data": {"grid": ["first", "second"]}}))
    _create(plan)
    stored = read_stored(str(tmp_path / "sweep" / "sweep.yaml"), SweepConfig, {"recipe": str(tmp_path / "sweep" / "base.yaml")})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    again = Plan.of(stored, stored=True, begun_from=_begun_from(plan.folder))
    _reopen(again)
    assert [again.training(point, 0).data for point in again.points] == [str(tmp_path / name) for name in ("first", "second")]
    assert [trial_name(point, 0) for point in again.points] == [trial_name(point, 0) for point in plan.points]
    assert again.searched_data == plan.searched_data
    assert len(again.searched_data) == 2


def test_a_sweep_that_did_not_note_where_it_was_begun_or_whose_folder_is_gone_counts_from_here(tmp_path):
    for noted in ({}, {"begun_from": str(tmp_path / "gone")}):
        write_document(Location.of(tmp_path) / SWEEP_FILE, noted, SWEEP_FORMAT)
        assert _begun_from(Location.of(tmp_path)) == ""


def test_a_trial_whose_files_are_damaged_keeps_no_other_record_from_being_closed(some_digits, tmp_path, capsys):
    plan = Plan.of(small(str(some_digits.location), tmp_path))
    parent, board = _create(plan), Board(plan)
    point, folder = plan.points[0], plan.run_folder(plan.points[0], 0).make()
    (folder / RUN_FILE).write_bytes(b"{")
    board.lines["a"] = TrialLine(spelled(point), 0, "failed")
    _close(plan, board, parent, "FAILED")
    assert f"{folder}/run.json is cut short or damaged" in capsys.readouterr().err
    assert MlflowClient(parent.uri).get_run(parent.run_id).info.status == "FAILED"


def test_where_ray_ends_the_command_the_sweep_and_its_trials_at_work_have_failed(some_digits, tmp_path):
    plan = Plan.of(small(str(some_digits.location), tmp_path))
    parent, board = _create(plan), Board(plan)
    given = {"uri": plan.store[0], "experiment": "try", "name": "trial", "params": {}, "tags": {}}
    addresses = [parent]
    for point, state in zip(plan.points, ("running", "finished"), strict=True):
        addresses.append(Run.start(plan.run_folder(point, 0), "pretrain", {}, "", **given).address)
        board.lines[state] = TrialLine(spelled(point), 0, state)
    board.lines["begins"] = TrialLine(spelled(plan.points[0]), 7, "running")
    _end_runs(board, parent, "FAILED")
    client = MlflowClient(parent.uri)
    assert [client.get_run(address.run_id).info.status for address in addresses] == ["FAILED", "FAILED", "RUNNING"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metric", "train/loss"], "metric cannot change in a resumed run"),
        (["--set", "epochs=9"], "settings.epochs cannot change in a resumed run"),
        (["--config", "x.yaml"], "leave out the recipe"),
    ],
)
def test_a_resume_keeps_what_its_trials_share(done, capsys, words, said):
    with pytest.raises(SystemExit):
        main(["sweep", "--resume", str(done[0]), *words])
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_trial_that_fails_is_said_and_does_not_end_the_sweep(digits, tmp_path, capfd):
    settings = config(digits, tmp_path, space={"optimizer.lr": {"grid": [0.03, 1e30]}})
    address = sweep(settings)
    runs = {json.loads(run.data.tags["quorum.point"])["optimizer.lr"]: run for run in trials(address)}
    assert (runs[0.03].info.status, runs[1e30].info.status) == ("FINISHED", "FAILED")
    assert "the loss is" in runs[1e30].data.tags["quorum.reason"]
    said = capfd.readouterr()
    assert said.err.count("the loss is") == 1
    assert "Error file" not in said.out  # Ray Tune's own account


def test_what_optuna_proposes_is_trained_and_counts_as_finished(digits, tmp_path):
    short = SETTINGS | {"data": digits, "epochs": 1}
    settings = config(
        digits, tmp_path, space={"optimizer.lr": {"loguniform": [0.01, 0.1]}}, settings=short, searcher="optuna", concurrent=1,
        budget=BudgetConfig(trials=2),
    )  # fmt: skip
    runs = trials(sweep(settings))
    assert [run.info.status for run in runs] == ["FINISHED"] * 2
    assert len({run.data.params["optimizer.lr"] for run in runs}) == 2


@pytest.mark.slow
def test_asha_stops_trials_and_the_record_says_so(digits, tmp_path):
    asha = SchedulerConfig("asha", grace_epochs=2, reduction=2)
    rates = {"optimizer.lr": {"grid": [0.03, 1e-7, 1e-8, 1e-9]}}
    longer = SETTINGS | {"data": digits, "epochs": 4}
    settings = config(digits, tmp_path, space=rates, metric="train/epoch_loss", mode="min", scheduler=asha, settings=longer)
    address = sweep(settings)
    runs = trials(address)
    assert {run.info.status for run in runs} == {"KILLED", "FINISHED"}
    last = {run.info.run_id: history(address, run, "train/epoch_loss")[-1].timestamp for run in runs}
    assert all(run.info.end_time - last[run.info.run_id] < 20_000 for run in runs)  # not the end of the sweep
    folder = Plan.of(settings).folder
    outcomes = [outcome for name in folder.children() if (outcome := outcome_of(folder / name))]
    assert sorted(set(outcomes)) == ["finished", "stopped"]
    assert len(outcomes) == 4
    used = ray.cluster_resources()["CPU"] - ray.available_resources().get("CPU", 0)
    assert used <= 1  # the last trial's worker may still be on its way out; those that were stopped have left nothing behind


@pytest.mark.slow
def test_the_worst_of_a_population_goes_on_from_the_best(digits, tmp_path):
    settings = config(
        digits, tmp_path, space={"optimizer.lr": {"grid": [0.03, 1e-8]}}, concurrent=None, metric="train/epoch_loss", mode="min",
        scheduler=SchedulerConfig("pbt", interval_epochs=2, share=0.5),
    )  # fmt: skip
    address = sweep(settings)
    plan = Plan.of(settings)
    good, bad = (plan.run_folder(point, 0) for point in plan.points)
    assert not (good / LINEAGE_FILE).exists()
    first = (bad / LINEAGE_FILE).read_json()[0]
    assert (first["from"], first["epoch"]) == (good.name, 2)
    assert [outcome_of(folder) for folder in (good, bad)] == ["finished"] * 2
    assert [run.info.status for run in trials(address)] == ["FINISHED"] * 2
    assert all([entry.step for entry in history(address, run, "progress/epoch")] == [22, 44, 66] for run in trials(address))
    assert "quorum.lineage" in {tag for run in trials(address) for tag in run.data.tags}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_sweep_that_is_wished_to_stop_saves_its_trial_and_goes_on_to_the_same_bits(digits, tmp_path, workers):
    long = {"batch_size": 16, "checkpoint.every_steps": 0, "compute.workers": workers}  # epochs of seconds
    settings = small(digits, tmp_path, space={"optimizer.lr": {"grid": [0.03]}}, settings=long)
    recipe = tmp_path / "sweep.yaml"
    recipe.write_text(yaml.safe_dump(settings.to_dict()))
    plan = Plan.of(settings)
    folder = Path(plan.run_folder(plan.points[0], 0).path)
    quorum = [sys.executable, "-m", "quorum", "sweep", "--address", "local"]
    process = subprocess.Popen([*quorum, "--config", str(recipe)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_step(folder, 89, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=150)[1]
    assert process.returncode == 143, said
    assert f"go on with it: quorum sweep --resume {plan.folder}" in said
    assert "Traceback" not in said
    run = Run.open(str(folder))
    assert run.checkpoints.latest().step > 0
    assert MlflowClient(run.address.uri).get_run(run.address.run_id).info.status == "KILLED"
    main(["sweep", "--resume", str(plan.folder)])
    train(replace(plan.training(plan.points[0], 0), storage=str(tmp_path / "alone")))
    found = differing(learned(final_state(folder, 2)), learned(final_state(tmp_path / "alone" / folder.name, 2)))
    assert found == [] or workers > 1  # sums of several workers are not promised to the bit


def test_more_trials_than_fit_are_refused(digits, tmp_path):
    with pytest.raises(UserError, match=r"9 trials at a time with 1 CPUs and 0 GPUs each do not fit the cluster \(4 CPUs"):
        sweep(config(digits, tmp_path, concurrent=9))
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_a_sweep_of_version_0_1_is_read_as_it_was(local_ray, tmp_path, monkeypatch, capsys):
    folder = unpack(tmp_path)
    monkeypatch.chdir(folder)
    main(["sweep", "--resume", SWEEP])
    said = capsys.readouterr().out
    assert "small: test/knn_top1 (max)" in said
    assert "4 runs: 4 finished" in said
