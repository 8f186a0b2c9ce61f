"""MLflow, asked as a run would ask it."""

from __future__ import annotations

import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
from mlflow.store.artifact.azure_data_lake_artifact_repo import AzureDataLakeArtifactRepository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient

from pipelines.doctor.findings import Page, State
from pipelines.doctor.record import FOLDER, TAG, _server, look_at_record, record_address
from pipelines.errors import UserError
from pipelines.files.location import Location


@pytest.fixture
def experiment(store):
    """The address of a store with an experiment whose files lie beside it."""
    uri = f"sqlite:///{store.folder}/mlflow.db"
    MlflowClient(uri).create_experiment("quorum", artifact_location=f"file://{store.folder}/mlartifacts")
    return uri


def test_a_store_that_works_is_as_it_was_afterwards(experiment, store):
    found = look_at_record(experiment, "quorum")
    assert [one.state for one in found] == [State.FINE] * 2
    assert TAG not in MlflowClient(experiment).get_experiment_by_name("quorum").tags
    assert not list((store.folder / "mlartifacts").rglob("probe.txt"))
    assert not list((store.folder / "mlartifacts").glob(FOLDER))


def test_a_store_that_is_read_only_is_named_as_that(experiment, store):
    uri = f"sqlite:///file:{store.folder}/mlflow.db?mode=ro&uri=true"
    found = look_at_record(uri, "quorum")
    assert (found[-1].state, found[-1].page) == (State.FAULT, Page.MLFLOW)
    assert "answers and is read-only here" in found[-1].said


def test_files_that_are_refused_are_told_apart_from_figures(experiment, store):
    (store.folder / "mlartifacts").write_text("a file in its place")
    works, found = look_at_record(experiment, "quorum")
    assert (works.state, found.state) == (State.FINE, State.FAULT)
    assert "does not take files of runs" in found.said


class Keeping(LocalArtifactRepository):
    """A place of files that takes them and answers a removal as MLflow's of Azure's data lake does."""

    def __init__(self, artifact_uri, **options):
        super().__init__(artifact_uri.replace("keeping:", "file:"), **options)

    delete_artifacts = AzureDataLakeArtifactRepository.delete_artifacts


def test_a_place_that_cannot_remove_files_takes_those_of_runs(store, monkeypatch):
    monkeypatch.setitem(_artifact_repository_registry._registry, "keeping", Keeping)
    uri = f"sqlite:///{store.folder}/mlflow.db"
    MlflowClient(uri).create_experiment("quorum", artifact_location=f"keeping://{store.folder}/mlartifacts")
    found = look_at_record(uri, "quorum")
    assert [one.state for one in found] == [State.FINE] * 2
    assert found[-1].said.endswith(f"may be written; {FOLDER}/probe.txt stays there, as MLflow deletes nothing in such a place")
    assert list((store.folder / "mlartifacts").rglob("probe.txt"))


def test_a_file_that_cannot_be_made_is_a_sentence():
    (found,) = look_at_record("sqlite:////proc/runs/mlflow.db", "quorum")
    assert (found.state, found.page) == (State.FAULT, Page.MLFLOW)
    assert found.said.startswith("MLflow's file /proc/runs/mlflow.db cannot be made")


def test_one_that_is_away_and_a_deleted_experiment_are_named(experiment):
    (found,) = look_at_record("http://127.0.0.1:9", "quorum")
    assert (found.state, found.page) == (State.FAULT, Page.MLFLOW)
    assert "MLflow at http://127.0.0.1:9 does not answer: nothing listens there; start it, or correct" in found.said
    client = MlflowClient(experiment)
    client.delete_experiment(client.get_experiment_by_name("quorum").experiment_id)
    (found,) = look_at_record(experiment, "quorum")
    assert "experiment 'quorum' was deleted" in found.said


@contextmanager
def answering(status: int) -> Iterator[str]:
    """The address of a server that answers everything with a status and nothing else."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        do_POST = do_GET

        def log_message(self, *given):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_what_answers_without_being_mlflow_is_no_place_for_runs():
    with answering(200) as uri:
        (found,) = look_at_record(uri, "quorum")
    assert found.state is State.FAULT
    assert "is no MLflow server; give the address" in found.said


def test_a_proxy_that_stands_between_is_said(monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    (found,) = look_at_record("http://mlflow.example:5000", "quorum")
    assert "it is asked by way of the proxy http://127.0.0.1:9: if it should not be, set no_proxy=mlflow.example" in found.said


@pytest.mark.parametrize(("version", "said"), [("2.9.2", True), ("3.0.0rc1", False), ("<html>", False)])
def test_the_clock_and_the_version_are_looked_at_behind_a_name_and_password_too(version, said):
    asked = []

    class Early(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response_only(200)
            self.send_header("Date", format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True))
            self.end_headers()
            self.wfile.write(version.encode())

        def log_message(self, *given):
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Early)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    *old, found = _server(f"http://me:s3cr3t@127.0.0.1:{server.server_port}")
    server.shutdown()
    assert [f"is MLflow {version}, which has no place for models" in one.said for one in old] == [True] * said
    assert asked == [("/version", "Basic " + b64encode(b"me:s3cr3t").decode())]
    assert "s behind this machine's" in found.said
    assert "s3cr3t" not in found.sentence
    assert _server("https://me:s3cr3t@mlflow.invalid") == []  # nobody is there, and without a port


def test_a_missing_or_expired_credential_is_named():
    start = time.monotonic()
    with answering(401) as uri:
        (found,) = look_at_record(uri, "quorum")
    assert (found.page, "set MLFLOW_TRACKING_USERNAME" in found.said) == (Page.CREDENTIAL, True)
    assert time.monotonic() - start < 20


def test_a_store_that_is_not_there_yet_is_made_by_a_run(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = record_address(None, Location.of(tmp_path / "outputs"))
    (found,) = look_at_record(uri, "quorum")
    assert found.said == f"{tmp_path}/outputs/mlflow.db will be made by the first run"
    assert not list(tmp_path.iterdir())
    assert record_address(None, None) is None
    with pytest.raises(UserError, match="has no scheme; write http://localhost:5000"):
        record_address("localhost:5000", None)
