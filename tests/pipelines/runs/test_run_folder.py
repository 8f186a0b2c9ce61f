"""A folder that becomes a run: it is one, or as it was before."""

from __future__ import annotations

import pytest

from pipelines.errors import Stopped, UserError
from pipelines.files.location import Location
from pipelines.runs.run_folder import Run, as_before_unless_begun, folder_name


def start(folder):
    given = {"uri": f"sqlite:///{folder.parent}/mlflow.db", "experiment": "test", "name": "first", "params": {}, "tags": {}}
    return Run.start(Location.of(folder), "pretrain", {"epochs": 3}, "0" * 16, **given)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def begin(folder, error):
    """As a job does: labels and configuration come before the run."""
    with as_before_unless_begun(Location.of(folder)):
        for name in ("labels.json", "config.yaml", "initial.safetensors"):
            (Location.of(folder).make() / name).write_bytes(b"ours")
        raise error


@pytest.mark.parametrize("error", [Stopped(2), UserError("MLflow does not answer"), KeyboardInterrupt()])
@pytest.mark.parametrize("theirs", [(), ("labels.json", "mine.txt"), ("config.yaml",)])
def test_what_is_stopped_before_it_is_a_run_leaves_the_folder_as_it_was(tmp_path, error, theirs):
    for name in theirs:
        (tmp_path / name).write_bytes(b"theirs")
    with pytest.raises(type(error)):
        begin(tmp_path, error)
    assert files_of(tmp_path) == dict.fromkeys(theirs, b"theirs")


def test_a_run_that_has_begun_keeps_what_is_in_its_folder(tmp_path, tables):
    with as_before_unless_begun(Location.of(tmp_path / "run")):
        made = start(tmp_path / "run")
    with pytest.raises(UserError):
        begin(tmp_path / "run", UserError("no"))
    assert Run.open(str(tmp_path / "run")).address == made.address
    assert (tmp_path / "run" / "labels.json").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a ", " a", "a\nb", "a\x00", "a\u2028b"])
def test_a_name_that_makes_no_folder_of_its_own_is_refused(name):
    with pytest.raises(UserError, match=r"name is .*, and a run's folder has its name"):
        folder_name(name)


@pytest.mark.parametrize("name", ["first", "my run", "K=3-seed=1", "..a", "Ä-日本", "v1.2"])
def test_any_other_name_is_taken(name):
    assert folder_name(name) == name
