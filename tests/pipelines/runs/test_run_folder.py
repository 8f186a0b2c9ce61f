"""A folder that becomes a run: whole, or as it was before."""

from __future__ import annotations

import pytest

from pipelines.errors import Stopped, UserError
from pipelines.files.location import Location
from pipelines.runs import run_folder
from pipelines.runs.run_folder import Run


def start(folder):
    given = {"uri": f"sqlite:///{folder.parent}/mlflow.db", "experiment": "test", "name": "first", "params": {}, "tags": {}}
    return Run.start(Location.of(folder), "pretrain", {"epochs": 3}, "0" * 16, **given)


@pytest.mark.parametrize("error", [Stopped(2), UserError("MLflow does not answer"), KeyboardInterrupt()])
def test_what_is_stopped_before_it_is_a_run_leaves_nothing_of_it(tmp_path, monkeypatch, error):
    def stop(*_, **__):
        raise error

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    (tmp_path / "run" / "labels.json").write_text("{}")  # as a training copies them before
    monkeypatch.setattr(run_folder, "start_run", stop)
    with pytest.raises(type(error)):
        start(tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_a_run_that_is_there_keeps_its_files_when_it_is_started_again(tmp_path, tables, monkeypatch):
    made = start(tmp_path / "run")
    assert Run.open(str(tmp_path / "run")).address == made.address
    monkeypatch.setattr(run_folder, "start_run", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        start(tmp_path / "run")
    assert Run.open(str(tmp_path / "run")).address == made.address
    assert (tmp_path / "run" / "config.yaml").exists()
