"""An MLflow address means the same from every folder, and what can be none is said in one sentence."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from pipelines.config.recipe import read_recipe
from pipelines.config.training_config import PretrainConfig
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run
from pipelines.runs.training_inputs import absolute
from pipelines.tracking.mlflow_store import start_run, tracking_uri
from pipelines.tracking.mlflow_tracker import Tracker
from pipelines.tracking.stores.addresses import absolute_address, sqlite_file
from quorum.cli import main
from tests.helpers.pages.words import settings_of
from tests.helpers.places import COKE_DIGITS


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("sqlite:///outputs/mlflow.db", "sqlite:///HERE/outputs/mlflow.db"),
        ("sqlite:///mlflow.db", "sqlite:///HERE/mlflow.db"),
        ("sqlite:///./a/../mlflow.db", "sqlite:///HERE/mlflow.db"),
        ("sqlite:mlflow.db", "sqlite:///HERE/mlflow.db"),
        ("sqlite://mlflow.db", "sqlite:///HERE/mlflow.db"),
        ("sqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite://///data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:/data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("SQLite:////data/M.db", "sqlite:////data/M.db"),
        ("sqlite+pysqlite:////data/mlflow.db", "sqlite:////data/mlflow.db"),
        ("sqlite:///~/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("sqlite:///my runs/mlflow.db", "sqlite:///HERE/my runs/mlflow.db"),
        ("sqlite:///my%20runs/50%.db?timeout=9", "sqlite:///HERE/my runs/50%25.db?timeout=9"),
        ("  sqlite:////data/mlflow.db\n", "sqlite:////data/mlflow.db"),
        ("outputs/mlruns", "file://HERE/outputs/mlruns"),
        ("~/mlruns", "file:///home/me/mlruns"),
        ("file:./mlruns", "file://HERE/mlruns"),
        ("file://./mlruns", "file://HERE/mlruns"),
        ("FILE:///data/my%20runs", "file:///data/my%20runs"),
        ("file://localhost/data/runs", "file:///data/runs"),
        ("HTTP://Host:5000/", "http://Host:5000"),
        ("https://host/mlflow//", "https://host/mlflow"),
        ("http://[::1]:5000", "http://[::1]:5000"),
        ("Databricks", "databricks"),
        ("databricks://profile", "databricks://profile"),
        ("postgres://me:s3cr3t/@host/db", "postgresql://me:s3cr3t/@host/db"),
        ("PostgreSQL+psycopg2://me:S@host/db/", "postgresql+psycopg2://me:S@host/db/"),
    ],
)
def test_an_address_is_made_absolute_and_stays_so(tmp_path, monkeypatch, given, meant):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    meant = meant.replace("HERE", str(tmp_path))
    assert absolute_address(given) == meant
    monkeypatch.chdir("/")
    assert absolute_address(meant) == meant


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("localhost:5000", "has no scheme; write http://localhost:5000"),
        ("http://", "names no host; write http://HOST:PORT"),
        ("http:host:5000", "names no host"),
        ("http://host:99999", "cannot be understood"),
        ("sqlite://", "in memory and keeps nothing; name a file"),
        ("sqlite:///:memory:", "in memory and keeps nothing"),
        ("sqlite:///", "in memory and keeps nothing"),
        ("sqlite:///.", r"is a folder; name a file in it: sqlite:////.*/mlflow\.db"),
        ("sqlite:///new/", r"is a folder; name a file in it: sqlite:////.*/new/mlflow\.db"),
        ("outputs/mlflow.db", r"is a file's path; for a database write sqlite:////.*/outputs/mlflow\.db"),
        ("file://host/data", "names a host, host; a path of this machine has three slashes"),
        ("http://me:s3cr3t@host:99999", r"http://\*\*\*:\*\*\*@host:99999 cannot be understood"),
    ],
)
def test_what_can_be_no_address_is_refused(tmp_path, monkeypatch, given, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as refusal:
        absolute_address(given)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_of_the_environment_counts_from_here_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    assert tracking_uri(None, Location.of("s")) == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri("", Location.of("s")) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", " ")
    assert tracking_uri(None, Location.of("s")) == f"sqlite:///{tmp_path}/s/mlflow.db"
    assert tracking_uri(None, Location.of("50%?")) == f"sqlite:///{tmp_path}/50%25%3F/mlflow.db"


def test_the_configuration_that_a_run_keeps_names_its_store_for_a_resume_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["--data", "d", "--storage", "s", "--tracking.uri", "sqlite:///outputs/mlflow.db"]
    config = absolute(read_recipe(str(COKE_DIGITS), PretrainConfig, settings_of(words)))
    assert config.tracking.uri == f"sqlite:///{tmp_path}/outputs/mlflow.db"


@pytest.mark.parametrize("name", ["outputs", "my runs", "50% #1?"])
def test_pictures_lie_beside_the_database_wherever_the_recorder_runs(tables, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    if name != "outputs":  # making the tables takes seconds
        (tmp_path / name).mkdir()
        shutil.copy(tables, tmp_path / name / "mlflow.db")
    address = start_run(tracking_uri(None, Location.of(name)), "quorum", "first", params={}, tags={})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    picture = tmp_path / "sizes.png"
    picture.write_bytes(b"a picture")
    tracker = Tracker(tmp_path / "run", address)
    tracker.artifact(picture, "pictures")
    tracker.close()
    assert tracker.messages == []
    assert sqlite_file(address.uri) == tmp_path / name / "mlflow.db"
    found = [path.relative_to(tmp_path / name).parts for path in (tmp_path / name).rglob("sizes.png")]
    assert [(parts[0], parts[-2]) for parts in found] == [("mlartifacts", "pictures")]
    assert list(elsewhere.iterdir()) == []
    if name == "outputs":  # where MLflow has made its own experiment too
        default = MlflowClient(address.uri).get_experiment_by_name("Default")
        assert default.artifact_location == f"file://{tmp_path}/outputs/mlartifacts/0"


def test_compare_finds_the_store_of_a_relative_address(store, tmp_path, capsys, monkeypatch):
    parent = store.sweep()
    store.trial(parent, {"ratio": 0.4}, values=[0.5])
    for uri in ("sqlite:///outputs/mlflow.db", "sqlite:outputs/mlflow.db"):
        main(["compare", parent, "--tracking.uri", uri])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///outputs/mlflow.db")
    main(["compare", parent])
    assert capsys.readouterr().out.count("ratio") >= 3


def test_a_run_of_before_with_a_relative_address_goes_on_as_it_did(store, tmp_path):
    run = Run.start(
        Location.of("run"), "pretrain", {}, "abc", uri="sqlite:///outputs/mlflow.db", experiment="q", name="n", params={}, tags={}
    )
    assert run.address.uri == f"sqlite:///{tmp_path}/outputs/mlflow.db"
    stored = Location.of("run/run.json").read_json()
    del stored["digest"]
    stored["mlflow"]["uri"] = "sqlite:///outputs/mlflow.db"
    Location.of("run/run.json").write_json(stored)
    assert Run.open("run").go_on("abc", "data", None).address == run.address
    assert MlflowClient(run.address.uri).get_run(run.address.run_id).info.run_name == "n"
    assert Path(os.getcwd()) == tmp_path
