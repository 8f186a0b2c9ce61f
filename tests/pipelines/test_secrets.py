"""Keys and passwords of addresses are used, and neither stored nor said."""

from __future__ import annotations

import pytest
from mlflow.tracking import MlflowClient

from pipelines.errors import Stopped, UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.secrets import hidden, is_hidden, without_secrets
from pipelines.tracking.mlflow_store import RunAddress, asking, tracking_uri, with_secret
from pipelines.words import tell
from tests.helpers.places import ROOT

SECRET = "s3cr3t/Key+1"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("http://me:hunter2@mlflow.example:5000/x", "http://***:***@mlflow.example:5000/x"),
        ("postgresql+psycopg2://u:p%40ss@db/mlflow", "postgresql+psycopg2://***:***@db/mlflow"),
        ("s3://AKIA1:ab/c+d/ef@bucket/data", "s3://***:***@bucket/data"),
        ("http://me:pa@ss@host/a", "http://***:***@host/a"),
        ("abfs://box?AccountKey=abc==", "abfs://box?AccountKey=***"),
        ("s3://AKIA1:abc+def@bucket/data?region=eu", "s3://***:***@bucket/data?region=eu"),
        ("s3://bucket/data?access_key=AKIA1&secret_key=abc&endpoint_override=host:9", "s3://bucket/data?access_key=***&secret_key=***&endpoint_override=host:9"),
        ("abfs://container@account/path?sig=abc%3D", "abfs://container@account/path?sig=***"),
        ("postgresql://mlflow:p#ss@db/m", "postgresql://***:***@db/m"),
        ("mysql+pymysql://mlflow:pa?ss@db/m", "mysql+pymysql://***:***@db/m"),
        ("s3://AKIA1:12/34+5@bucket/data", "s3://***:***@bucket/data"),
        ("https://ghp_abc@host/x", "https://***:***@host/x"),
        ("abfs://box@account/x?tenant_id=t&client_secret=abc", "abfs://box@account/x?tenant_id=t&client_secret=***"),
        ("aws_secret_access_key=abc", "aws_secret_access_key=***"),
        ("postgresql://db/m?user=u&sslpassword=abc", "postgresql://db/m?user=u&sslpassword=***"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Dme%3BPWD%3Dabc", "mssql+pyodbc:///?odbc_connect=***"),
        ("DRIVER=x;UID=me;PWD=abc", "DRIVER=x;UID=me;PWD=***"),
        ("http://host/m?pass=abc&credentials=abc", "http://host/m?pass=***&credentials=***"),
        ("see https://a:b@c/d and https://e/f?token=g", "see https://***:***@c/d and https://e/f?token=***"),
    ],
)  # fmt: skip
def test_an_address_is_shown_without_its_secret(address, shown):
    assert hidden(address) == shown
    assert is_hidden(shown)
    assert not is_hidden(address)
    assert hidden(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/data", "/home/me:you/a@b", "http://host:5000/a@b", "12:30, me@example.org", "abfs://container@account/path",
        "sftp://me@host/data", "sqlite:////a:b@c", "tokens=5", "method.token_rate=5", "pretoken=5", "bypass=5", "passes=5",
    ],
)  # fmt: skip
def test_what_holds_no_secret_is_left_as_it_is(text):
    assert hidden(text) == text


def test_nested_values_lose_theirs():
    given = {"data": "s3://a:b@c", "list": ["http://a:b@c", 1], "deep": {"uri": "x?token=1"}, "number": 0.5, "none": None}
    assert without_secrets(given) == {
        "data": "s3://***:***@c", "list": ["http://***:***@c", 1], "deep": {"uri": "x?token=***"}, "number": 0.5, "none": None,
    }  # fmt: skip


def test_a_message_to_the_user_has_none():
    assert str(UserError("MLflow at http://me:hunter2@host does not answer")) == "MLflow at http://***:***@host does not answer"


def test_what_is_told_on_the_way_or_as_a_command_stops_has_none(capsys):
    tell("s3://AKIA1:hunter2@bucket/run is there already")
    print(Stopped(15, "stopped after step 3; go on with it: quorum pretrain --resume s3://AKIA1:hunter2@bucket/run"))
    said = capsys.readouterr()
    assert "hunter2" not in said.out + said.err
    assert said.err == "s3://***:***@bucket/run is there already\n"


def test_all_that_is_printed_on_standard_error_is_told_so():
    files = [path for room in ("pipelines", "tune") for path in sorted((ROOT / room).rglob("*.py"))]
    assert {path.name for path in files if "file=sys.stderr" in path.read_text()} == {"words.py", "progress.py"}


def test_a_store_that_was_kept_without_its_secret_is_reached_with_that_of_the_environment(monkeypatch, tmp_path):
    address = RunAddress("http://***:***@mlflow.example", "1", "a")
    assert with_secret(address) == address
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@mlflow.example")
    assert with_secret(address).uri == "http://me:hunter2@mlflow.example"
    assert tracking_uri(address.uri, Location.of(tmp_path)) == "http://me:hunter2@mlflow.example"
    with asking(address.uri, "") as client:
        assert client.tracking_uri == "http://me:hunter2@mlflow.example"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@other.example")
    with pytest.raises(UserError, match="stored without its secret"), asking(address.uri, ""):
        pass


def test_neither_the_files_of_a_run_nor_its_record_have_any(store, tmp_path):
    data = "s3://AKIA1:hunter2@bucket/data"
    config = {"data": data, "tracking": {"uri": None}}
    run = Run.start(
        Location.of(tmp_path / "run"), "pretrain", config, "abc", uri=store.uri, experiment="quorum", name="first",
        params={"more": data}, tags={"place": data},
    )  # fmt: skip
    for file in (tmp_path / "run").rglob("*"):
        assert b"hunter2" not in file.read_bytes()
    record = MlflowClient(store.uri).get_run(run.address.run_id).data
    assert "hunter2" not in str(record.params) + str(record.tags)
    assert record.params["data"] == "s3://***:***@bucket/data"


def test_an_address_that_was_stored_without_its_secret_is_asked_for():
    with pytest.raises(UserError, match="was stored without its secret; give the address anew"):
        Location.of("s3://***:***@bucket/data")
    with pytest.raises(UserError, match=r"give --tracking\.uri or MLFLOW_TRACKING_URI"), asking("http://***:***@host", ""):
        pass


def test_a_resumed_run_takes_the_secret_of_the_environment(store, tmp_path, monkeypatch):
    run = Run.start(
        Location.of(tmp_path / "run"), "pretrain", {}, "abc", uri=store.uri, experiment="quorum", name="first", params={}, tags={}
    )
    stored = tmp_path / "run" / "run.json"
    content = Location.of(stored).read_json()
    del content["digest"]
    content["mlflow"]["uri"] = "http://***:***@host/x"
    Location.of(stored).write_json(content)
    assert Run.open(str(tmp_path / "run")).go_on("abc", "data", None).address.uri == "http://***:***@host/x"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@host/x")
    assert Run.open(str(tmp_path / "run")).go_on("abc", "data", None).address.uri == "http://me:hunter2@host/x"
    assert run.kind == "pretrain"
