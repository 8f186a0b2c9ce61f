"""Tracking: a journal that reaches a real MLflow store, also through a server that goes away and comes back."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode
from mlflow.tracking import MlflowClient

from benchmarks.chaos.servers import Server
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.tracking import mlflow_tracker
from pipelines.tracking.about.model_entry import ModelEntry
from pipelines.tracking.journal import Journal
from pipelines.tracking.mlflow_store import RunAddress, ended_unless_begun, start_run, tracking_uri
from pipelines.tracking.mlflow_tracker import Tracker


def begin(uri: str, storage: Path, **params: object) -> RunAddress:
    return start_run(uri, "quorum", "first", params=params, tags={"data": "abc"})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def steps_of(address: RunAddress, key: str = "train/loss") -> list[int]:
    return [point.step for point in MlflowClient(address.uri).get_metric_history(address.run_id, key)]


def paths_of(address: RunAddress, folder: str) -> list[str]:
    return [file.path for file in MlflowClient(address.uri).list_artifacts(address.run_id, folder)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a sqlite store; the first run in it pays for the tables."""
    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{folder}/mlflow.db"
    begin(uri, folder)
    return uri


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_tracker, "RETRY_SECONDS", 0.2)


@pytest.mark.job
def test_runs_that_start_together_make_one_store(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    code = (
        "import sys; from pipelines.tracking.mlflow_store import start_run as s; s(sys.argv[1], 'one', 'run', params={}, tags={})"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, uri], stderr=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    experiment = MlflowClient(uri).get_experiment_by_name("one")
    assert len(MlflowClient(uri).search_runs([experiment.experiment_id])) == 3


def test_a_store_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match=r"MLflow at sqlite:///.*/file/mlflow.db does not answer"):
        begin(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    started.start()
    yield started
    started.kill()


def test_a_run_has_its_parameters_and_tags_and_what_is_cut_is_said(store, tmp_path, capsys):
    address = begin(store, tmp_path, **{f"part.key{i}": i for i in range(250)}, long="x" * 7000)
    run = MlflowClient(store).get_run(address.run_id)
    assert len(run.data.params) == 251
    assert run.data.params["part.key249"] == "249"
    assert run.data.params["long"] == "x" * 6000
    assert "first 6,000 characters of long; the run's folder has the whole, in config.yaml" in capsys.readouterr().err
    assert run.data.tags["data"] == "abc"
    assert run.info.run_name == "first"


def test_runs_of_one_experiment_share_it(store, tmp_path):
    first, second = begin(store, tmp_path), begin(store, tmp_path)
    assert first.experiment_id == second.experiment_id
    assert first.run_id != second.run_id


@pytest.mark.parametrize(("raised", "status"), [(OSError("full"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_a_run_that_could_not_begin_does_not_stay_running(store, tmp_path, raised, status):
    address = begin(store, tmp_path)
    with pytest.raises(type(raised)), ended_unless_begun(address):
        raise raised
    assert MlflowClient(store).get_run(address.run_id).info.status == status


def test_a_run_whose_parameters_are_refused_does_not_stay_running(store):
    with pytest.raises(UserError):
        start_run(store, "refused", "first", params={"a" * 600: 1}, tags={})
    client = MlflowClient(store)
    (run,) = client.search_runs([client.get_experiment_by_name("refused").experiment_id])
    assert run.info.status == "FAILED"


def test_figures_files_tags_and_the_outcome_arrive(store, tmp_path):
    address, picture = begin(store, tmp_path), tmp_path / "sizes.png"
    picture.write_bytes(b"a picture")
    tracker = Tracker(tmp_path / "run", address)
    for step in range(1200):
        tracker.metrics({"train/loss": 1 / (step + 1), "train/lr": 0.1}, step)
    tracker.artifact(picture, "pictures")
    tracker.tag("certificate", "0.01")
    tracker.status("FINISHED")
    tracker.close()
    run = MlflowClient(store).get_run(address.run_id)
    assert sorted(steps_of(address)) == list(range(1200))
    assert run.data.metrics == {"train/loss": pytest.approx(1 / 1200), "train/lr": 0.1}
    assert run.data.tags["certificate"] == "0.01"
    assert run.info.status == "FINISHED"
    assert paths_of(address, "pictures") == ["pictures/sizes.png"]
    assert tracker.messages == []


def test_neither_tags_nor_notes_have_the_secret_of_an_address(store, tmp_path):
    tracker = Tracker(tmp_path / "run", address := begin(store, tmp_path))
    tracker.tag("quorum.reason", "s3://AKIA1:hunter2@bucket/run is away")
    tracker.note("stop", "http://host/x?token=hunter2")
    tracker.close()
    assert MlflowClient(store).get_run(address.run_id).data.tags["quorum.reason"] == "s3://***:***@bucket/run is away"
    assert b"hunter2" not in tracker.journal.path.read_bytes()


def test_a_model_that_the_artifact_store_refuses_holds_up_nothing(store, tmp_path):
    (tmp_path / "blocked").write_text("a file where the artifacts should go")
    MlflowClient(store).create_experiment("blocked", artifact_location=f"file://{tmp_path}/blocked")
    address, folder = start_run(store, "blocked", "first", params={}, tags={}), tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text("flavors: {}\n")
    tracker = Tracker(tmp_path / "run", address)
    tracker.model(ModelEntry("best", str(folder), "step-1.pt", 1))
    tracker.metrics({"train/loss": 1.0}, 1)
    tracker.status("FINISHED")
    tracker.close()
    assert steps_of(address) == [1]
    assert MlflowClient(store).get_run(address.run_id).info.status == "FINISHED"
    assert any("MLflow refuses an entry" in message for message in tracker.messages)
    assert folder.exists()


def away(address: RunAddress) -> RunAddress:
    """The same run on a server that does not answer."""
    return RunAddress(f"http://127.0.0.1:{free_port()}", address.experiment_id, address.run_id)


def waiting_files(folder: Path, address: RunAddress) -> None:
    """Leave a picture and a model in a run's journal, for MLflow is away."""
    (folder / "pictures").mkdir(parents=True)
    (folder / "pictures" / "sizes.png").write_bytes(b"a picture")
    (folder / "models" / "best").mkdir(parents=True)
    (folder / "models" / "best" / "MLmodel").write_text("flavors: {}\n")
    tracker = Tracker(folder, away(address))
    tracker.artifact(folder / "pictures" / "sizes.png", "pictures")
    tracker.model(ModelEntry("best", str(folder / "models" / "best"), "step-1.pt", 1))
    tracker.close(timeout=0.5)


def models_of(address: RunAddress) -> list[str]:
    found = MlflowClient(address.uri).search_logged_models([address.experiment_id], f"source_run_id = '{address.run_id}'")
    return [model.name for model in found]


def test_files_of_a_run_whose_folder_was_moved_while_mlflow_was_away_arrive(store, tmp_path, quick_retries):
    address = begin(store, tmp_path)
    waiting_files(tmp_path / "run", address)
    (tmp_path / "run").rename(tmp_path / "moved")
    tracker = Tracker(tmp_path / "moved", address)
    tracker.close()
    assert paths_of(address, "pictures") == ["pictures/sizes.png"]
    assert models_of(address) == ["best"]
    assert tracker.messages == []
    assert not (tmp_path / "moved" / "models" / "best").exists()  # MLflow has it


def test_a_journal_that_has_whole_paths_is_read_also_where_its_folder_was_moved(store, tmp_path):
    address, folder = begin(store, tmp_path), tmp_path / "run"
    (folder / "pictures").mkdir(parents=True)
    for name in ("here", "moved"):
        (folder / "pictures" / f"{name}.png").write_bytes(b"a picture")
    journal = Journal(folder)
    for place in (folder / "pictures" / "here.png", Path("/before/run/pictures/moved.png")):
        journal.append({"kind": "artifact", "path": str(place), "folder": "pictures"})
    journal.close()
    tracker = Tracker(folder, address)
    tracker.close()
    assert paths_of(address, "pictures") == ["pictures/here.png", "pictures/moved.png"]
    assert tracker.messages == []


def test_files_that_are_gone_are_said_and_counted_unless_mlflow_has_them(store, tmp_path, quick_retries):
    address, folder = begin(store, tmp_path), tmp_path / "run"
    waiting_files(folder, address)
    Tracker(folder, address).close()
    (folder / "journal.sent").unlink()  # as where a run is gone on with on another machine
    (folder / "pictures" / "sizes.png").unlink()
    second = Tracker(folder, address)
    second.close()
    assert second.messages == []
    journal = Journal(folder)
    for name in ("late", "later"):
        journal.append({"kind": "artifact", "path": f"pictures/{name}.png", "folder": "pictures"})
    journal.append({"kind": "model"} | ModelEntry("last", "models/last", "step-2.pt", 2).values())
    journal.close()
    last = Tracker(folder, address)
    last.metrics({"train/loss": 1.0}, 1)
    last.close()
    assert last.messages == [
        f"3 files that MLflow was to get are gone and left out, the first of them {folder}/pictures/late.png"
    ]
    assert steps_of(address) == [1]


def test_a_model_that_waits_for_a_store_that_is_away_does_not_hold_up_the_end(store, tmp_path, quick_retries):
    began = time.monotonic()
    waiting_files(tmp_path / "run", begin(store, tmp_path))
    assert time.monotonic() - began < 60  # and not the minutes that a model may take on its way


def test_a_resumed_run_sends_only_what_is_new(store, tmp_path):
    address = begin(store, tmp_path)
    for first in (0, 10):
        tracker = Tracker(tmp_path / "run", address)
        for step in range(first, first + 10):
            tracker.metrics({"train/loss": 1.0}, step)
        tracker.close()
        assert (tmp_path / "run" / "journal.sent").read_text() == str(first + 10)
    assert sorted(steps_of(address)) == list(range(20))


def test_the_history_holds_every_entry_of_all_parts(store, tmp_path):
    address = begin(store, tmp_path)
    for step in range(3):
        tracker = Tracker(tmp_path / "run", address)
        tracker.metrics({"train/loss": float(step)}, step)
        tracker.close()
    assert [(entry["step"], entry["values"]) for entry in tracker.journal.history()] == [
        (step, {"train/loss": step}) for step in range(3)
    ]


def test_an_ended_run_can_run_again(store, tmp_path):
    address = begin(store, tmp_path)
    tracker = Tracker(tmp_path / "run", address)
    for status in ("FAILED", "RUNNING"):
        tracker.status(status)
        assert until(lambda expected=status: MlflowClient(store).get_run(address.run_id).info.status == expected)
    tracker.close()


def test_what_an_unreachable_server_did_not_get_goes_out_with_the_next_start(store, tmp_path, quick_retries):
    address = begin(store, tmp_path)
    nowhere = RunAddress(f"http://127.0.0.1:{free_port()}", address.experiment_id, address.run_id)
    tracker = Tracker(tmp_path / "run", nowhere)
    for step in range(5):
        tracker.metrics({"train/loss": 1.0}, step)
    tracker.close(timeout=2)
    assert tracker.messages[-1].startswith("5 entries did not reach MLflow")
    assert tracker.messages[-1].endswith("go out when the command is given again, of a training or a probe with --resume")
    assert steps_of(address) == []
    Tracker(tmp_path / "run", address).close()
    assert sorted(steps_of(address)) == list(range(5))


def test_a_journal_whose_process_died_in_the_middle_of_a_write_can_go_on(store, tmp_path):
    address = begin(store, tmp_path)
    first = Tracker(tmp_path / "run", address)
    first.metrics({"train/loss": 1.0}, 0)
    first.close()
    with first.journal.path.open("a") as file:
        file.write('{"kind": "metr')
    second = Tracker(tmp_path / "run", address)
    second.metrics({"train/loss": 1.0}, 1)
    second.close()
    third = Tracker(tmp_path / "run", address)
    third.metrics({"train/loss": 1.0}, 2)
    third.close()
    assert sorted(steps_of(address)) == [0, 1, 2]


def test_a_mark_that_was_cut_short_sends_the_journal_again(store, tmp_path):
    address = begin(store, tmp_path)
    first = Tracker(tmp_path / "run", address)
    first.metrics({"train/loss": 1.0}, 0)
    first.close()
    first.journal.mark.write_text("")
    second = Tracker(tmp_path / "run", address)
    second.metrics({"train/loss": 1.0}, 1)
    second.close()
    assert sorted(steps_of(address)) == [0, 1]


def test_what_a_deleted_run_did_not_take_goes_out_when_it_is_restored(store, tmp_path, quick_retries):
    address, client = begin(store, tmp_path), MlflowClient(store)
    client.delete_run(address.run_id)
    tracker = Tracker(tmp_path / "run", address)
    tracker.metrics({"train/loss": 1.0}, 7)
    tracker.close(timeout=0.5)
    assert "is away (the run was deleted there; restore it)" in tracker.messages[0]
    assert "1 entries did not reach MLflow" in tracker.messages[-1]
    client.restore_run(address.run_id)
    Tracker(tmp_path / "run", address).close()
    assert steps_of(address) == [7]


@pytest.mark.parametrize("code", mlflow_tracker.REFUSALS)
def test_an_entry_that_a_busy_store_refuses_is_sent_again(store, tmp_path, quick_retries, monkeypatch, code):
    deliver, answers = mlflow_tracker._deliver, [code] * (mlflow_tracker.TRIES - 1)

    def busy_at_first(*given: Any) -> Any:
        if answers:  # as MLflow says it of its database's: QueuePool limit of size 5 overflow 10 reached
            raise MlflowException("its database is busy", ErrorCode.Value(answers.pop()))
        return deliver(*given)

    monkeypatch.setattr(mlflow_tracker, "_deliver", busy_at_first)
    address = begin(store, tmp_path)
    tracker = Tracker(tmp_path / "run", address)
    tracker.metrics({"train/loss": 1.0}, 7)
    tracker.close()
    assert steps_of(address) == [7]
    assert tracker.messages == []


def test_an_entry_that_is_itself_at_fault_holds_up_no_other(store, tmp_path, quick_retries):
    address = begin(store, tmp_path)
    tracker = Tracker(tmp_path / "run", address)
    for step, name in enumerate(["train/loss", "no, name", "neither, this", "train/loss"]):
        tracker.metrics({name: 1.0}, step)
    tracker.close()
    assert sorted(steps_of(address)) == [0, 3]
    assert "MLflow refused 2 entries" in tracker.messages[-1]


@pytest.mark.slow
def test_a_server_that_goes_away_stops_nothing_and_loses_nothing(server, tmp_path, quick_retries):
    address, picture = begin(server.uri, tmp_path), tmp_path / "sizes.png"
    picture.write_bytes(b"a picture")
    tracker = Tracker(tmp_path / "run", address)
    tracker.metrics({"train/loss": 1.0}, 0)
    assert until(tracker.journal.mark.exists)

    server.kill()
    began = time.monotonic()
    for step in range(1, 201):
        tracker.metrics({"train/loss": 1.0}, step)
    tracker.artifact(picture, "pictures")
    tracker.tag("certificate", "0.01")
    assert time.monotonic() - began < 2
    assert until(lambda: bool(tracker.messages))
    time.sleep(3)  # several retries
    tracker.metrics({"train/loss": 1.0}, 201)
    (away,) = tracker.messages
    assert f"MLflow at {server.uri} is away" in away
    assert "\n" not in away

    server.start()
    assert until(lambda: tracker.journal.mark.read_text() == "204")
    tracker.status("FINISHED")
    tracker.close()
    assert tracker.messages[1:] == [f"MLflow at {server.uri} is back; sending what waited"]
    run = MlflowClient(server.uri).get_run(address.run_id)
    assert sorted(steps_of(address)) == list(range(202))
    assert paths_of(address, "pictures") == ["pictures/sizes.png"]
    assert (run.data.tags["certificate"], run.info.status) == ("0.01", "FINISHED")


@pytest.mark.slow
def test_a_run_that_ends_while_the_server_is_away_waits_for_it(server, tmp_path):
    address = begin(server.uri, tmp_path)
    server.kill()
    tracker = Tracker(tmp_path / "run", address)
    tracker.metrics({"train/loss": 1.0}, 0)
    tracker.status("FINISHED")
    back = threading.Timer(3, server.start)
    back.start()
    tracker.close(timeout=60)
    back.join()
    assert steps_of(address) == [0]
    assert MlflowClient(server.uri).get_run(address.run_id).info.status == "FINISHED"
    assert not [message for message in tracker.messages if "did not reach" in message]


def test_a_run_on_a_server_that_does_not_answer_is_refused_in_one_sentence(tmp_path):
    uri = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(UserError, match=f"MLflow at {uri} does not answer") as refusal:
        begin(uri, tmp_path)
    assert "\n" not in str(refusal.value)


def test_a_uri_that_no_store_serves_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"tracking\.uri"):
        begin("nothing://at-all", tmp_path)


def test_a_sqlite_uri_of_another_file_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no data base, but long enough to be taken for one" * 10)
    with pytest.raises(UserError, match=r"tracking\.uri"):
        begin(f"sqlite:///{tmp_path}/notes.txt", tmp_path)


def test_the_uri_is_the_configured_one_then_the_environments_then_a_file_beside_the_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from-environment")
    assert tracking_uri("http://configured", Location.of(tmp_path)) == "http://configured"
    assert tracking_uri(None, Location.of(tmp_path)) == "http://from-environment"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert tracking_uri(None, Location.of(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
