"""Who started a run and with what."""

from __future__ import annotations

import getpass
import subprocess
import sys
from types import SimpleNamespace

from mlflow.tracking import MlflowClient

from pipelines.tracking.about.source import command_line, commanded, commit_of, source_tags
from pipelines.tracking.mlflow_store import start_run


def committed(folder, name):
    """A repository with one file and one commit; returns the commit."""
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    (folder / name).write_text("print()\n")
    for words in (["init", "--quiet"], ["add", name], ["commit", "--quiet", "--message", "one"]):
        subprocess.run(["git", *identity, *words], cwd=folder, check=True)
    return subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_command_is_the_source_and_its_words_are_kept_without_secrets():
    words = ["pretrain", "--name", "of mine", "--tracking.uri", "http://me:secret@host:5000"]
    assert command_line() is None
    with commanded(words):
        assert source_tags().items() >= {
            "mlflow.user": getpass.getuser(), "mlflow.source.name": "quorum pretrain", "mlflow.source.type": "LOCAL"
        }.items()  # fmt: skip
        assert command_line() == "quorum pretrain --name 'of mine' --tracking.uri 'http://***:***@host:5000'"
    assert command_line() is None


def test_a_script_is_the_source_with_the_commit_of_the_repository_that_tracks_it(tmp_path, monkeypatch):
    commit = committed(tmp_path, "study.py")
    (tmp_path / "scratch.py").write_text("print()\n")
    for name, expected in (("study.py", commit), ("scratch.py", None)):
        monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=str(tmp_path / name)))
        tags = source_tags()
        assert (tags["mlflow.source.name"], tags.get("mlflow.source.git.commit")) == (str(tmp_path / name), expected)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace())  # as of an interpreter that one types into
    assert (source_tags()["mlflow.source.name"], "mlflow.source.git.commit" in source_tags()) == ("python", False)
    assert commit_of(str(tmp_path / "nowhere" / "study.py")) == ""


def test_a_run_has_them_and_its_experiment_is_one_of_trainings_also_where_it_was_there_before(store):
    old = store.client.create_experiment("old")
    for name in ("old", "new"):
        address = start_run(store.uri, name, "first", params={}, tags={})
        run = store.client.get_run(address.run_id)
        assert run.info.user_id == getpass.getuser()
        assert run.data.tags["mlflow.source.type"] == "LOCAL"
        assert store.client.get_experiment(address.experiment_id).tags["mlflow.experimentKind"] == "custom_model_development"
    assert address.experiment_id != old


def test_what_an_experiment_was_said_to_be_stays(store):
    made = store.client.create_experiment("chats", tags={"mlflow.experimentKind": "genai_development"})
    start_run(store.uri, "chats", "first", params={}, tags={"mlflow.source.name": "theirs", "mlflow.user": "them"})
    client = MlflowClient(store.uri)
    assert client.get_experiment(made).tags["mlflow.experimentKind"] == "genai_development"
    (run,) = client.search_runs([made])
    assert (run.data.tags["mlflow.source.name"], run.info.user_id) == ("theirs", "them")
