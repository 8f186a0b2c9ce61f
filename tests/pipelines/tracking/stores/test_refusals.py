"""What a store refuses is one sentence with the right advice: real databases and real answers of a server."""

from __future__ import annotations

import re
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipelines.errors import UserError
from pipelines.tracking.mlflow_store import RunAddress, asking, check_run, start_run
from pipelines.tracking.stores.refusals import StoreAwayError


def begin(uri: str, experiment: str = "quorum") -> RunAddress:
    return start_run(uri, experiment, "first", params={}, tags={})


class Answer(BaseHTTPRequestHandler):
    """Answers all with what its server is told to."""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        status, body = self.server.answer
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def web() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.mark.parametrize(
    ("answer", "said", "passes"),
    [
        ((401, b"who?"), "asks who you are; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD", False),
        ((403, b"no"), "does not let you in; ask for the right", False),
        ((403, b'{"error_code": "PERMISSION_DENIED", "message": "no"}'), "does not let you in", False),
        ((403, b"Invalid Host header"), "does not know the name that it is asked by; start it with --allowed-hosts", False),
        (
            (407, b"who?"),
            "the proxy in between asks who you are; write a name and password into",
            False,
        ),
        ((413, b"large"), "takes nothing as large as that; raise its limit", False),
        ((429, b"often"), "is asked more often than it allows; try again later", True),
        ((404, b"<html>nothing</html>"), "is no MLflow server; give the address", False),
        ((404, b'{"detail": "Not Found"}'), "is no MLflow server; give the address", False),
        ((302, b""), "is no MLflow server, or a page to log in", False),
        ((200, b"<html>log in</html>"), "is no MLflow server, or a page to log in", False),
        ((200, b'{"hello": 1}'), "is no MLflow server; give the address", False),
        ((500, b"<html>oh</html>"), "the server fails at every request; look at its log", True),
        ((503, b""), "the server fails at every request; look at its log", True),
    ],
)
def test_what_a_server_answers_is_told_with_the_right_advice(web, answer, said, passes):
    web.answer = answer
    with pytest.raises(UserError, match=said) as refusal:
        begin(f"http://127.0.0.1:{web.server_port}")
    assert isinstance(refusal.value, StoreAwayError) == passes
    assert "\n" not in str(refusal.value)


def test_what_answers_another_thing_has_no_run_to_go_on_with(web):
    web.answer = (200, b'{"hello": 1}')
    with pytest.raises(UserError, match="is no MLflow server; give the address"):
        check_run(RunAddress(f"http://127.0.0.1:{web.server_port}", "1", "a" * 32))


def test_a_token_that_no_header_takes_is_said_and_not_shown(web, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter2\n")  # as of a file
    with pytest.raises(UserError, match="its token holds what no header of a request can") as refusal:
        begin(f"http://127.0.0.1:{web.server_port}")
    assert "hunter" not in str(refusal.value)


def test_a_variable_that_mlflow_does_not_understand_is_named(web, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "10s")
    with pytest.raises(UserError, match=r"a variable of the environment is wrong \(.*'10s' for MLFLOW_HTTP_REQUEST_TIMEOUT"):
        begin(f"http://127.0.0.1:{web.server_port}")


def test_a_server_without_tls_is_told_from_one_that_is_away(web):
    with pytest.raises(UserError, match="speaks no TLS; write http:// instead of https://"):
        begin(f"https://127.0.0.1:{web.server_port}")
    with pytest.raises(
        StoreAwayError, match=r"does not answer: nothing listens there; .*without a port, 80 is asked, and MLflow's own is 5000"
    ):
        begin("http://127.0.0.1")


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        (
            "451aebb31d03",
            r"another version than MLflow \S+ \(schema 451aebb31d03\); back it up and run: mlflow db upgrade sqlite:///",
        ),
        ("ffffffffffff", r"\(schema ffffffffffff\); install the MLflow that it was made with, or name another database"),
    ],
)
def test_a_database_of_another_version_is_upgraded_or_left_alone(tables, tmp_path, revision, said):
    shutil.copy(tables, tmp_path / "other.db")
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("update alembic_version set version_num = ?", (revision,))
    database.close()
    with pytest.raises(UserError, match=said):
        begin(f"sqlite:///{tmp_path}/other.db")


def test_files_that_are_no_whole_writable_database_are_named(tables, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.db").write_text("no data base, but long enough to be taken for one" * 10)
    with pytest.raises(UserError, match=r"the file is no database; name another in tracking\.uri"):
        begin(f"sqlite:///{tmp_path}/notes.db")
    shutil.copy(tables, tmp_path / "cut.db")
    with (tmp_path / "cut.db").open("r+b") as file:
        file.truncate(9000)
    with pytest.raises(UserError, match="the database is damaged; restore it"):
        begin(f"sqlite:///{tmp_path}/cut.db")
    shutil.copy(tables, tmp_path / "read.db")
    with pytest.raises(UserError, match="the database cannot be written; give yourself the right"):
        begin(f"sqlite:///file:{tmp_path}/read.db?mode=ro&uri=true")
    with pytest.raises(UserError, match="nothing can be written in /proc/none"), asking("sqlite:////proc/none/mlflow.db", ""):
        pass
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_of_runs_is_refused_where_mlflow_keeps_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    said = ""
    try:
        address = begin("outputs/mlruns")  # as older versions of MLflow do
    except UserError as refused:
        said = str(refused)
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        address = begin("outputs/mlruns")
    assert not said or re.search(r"keeps no runs in folders; name a file, .*MLFLOW_ALLOW_FILE_STORE=true", said)
    assert (tmp_path / "outputs" / "mlruns" / address.experiment_id / address.run_id).is_dir()


def test_what_was_deleted_is_said_with_the_command_that_restores_it(store):
    address = begin(store.uri)
    check_run(address)
    store.client.delete_run(address.run_id)
    with pytest.raises(UserError, match=f"was deleted in MLflow .* mlflow runs restore --run-id {address.run_id}"):
        check_run(address)
    store.client.restore_run(address.run_id)
    store.client.delete_experiment(address.experiment_id)
    restore = f"experiment 'quorum' was deleted in MLflow at {store.uri}; .*restore --experiment-id {address.experiment_id}"
    for refused in (lambda: check_run(address), lambda: begin(store.uri)):
        with pytest.raises(UserError, match=restore):
            refused()
    begin(store.uri, "another")


def test_a_run_that_its_store_does_not_have_is_not_gone_on_with_and_one_whose_store_is_away_is(store, tmp_path):
    address = begin(store.uri)
    with pytest.raises(UserError, match=r"has no run f{32}; give --tracking\.uri of the store that has it"):
        check_run(RunAddress(store.uri, address.experiment_id, "f" * 32))
    with pytest.raises(UserError, match=r"no MLflow store at .*/absent\.db; give --tracking\.uri"):
        check_run(RunAddress(f"sqlite:///{tmp_path}/absent.db", address.experiment_id, address.run_id))
    assert not (tmp_path / "absent.db").exists()
    check_run(RunAddress("http://127.0.0.1:9", address.experiment_id, address.run_id))


@pytest.mark.parametrize("name", ["", "x" * 600])
def test_a_name_that_mlflow_takes_for_no_experiment_is_said_to_be_one(store, name):
    with pytest.raises(UserError, match=r"refuses the experiment's name; correct tracking\.experiment"):
        begin(store.uri, name)
