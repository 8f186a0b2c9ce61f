"""A folder that becomes a run: it is one, or as it was before."""

from __future__ import annotations

import shutil

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


def go_on(folder):
    return Run.open(str(folder)).go_on("0" * 16, "data", None)


def test_a_copy_says_that_it_is_recorded_as_its_original_is(tmp_path, tables, capsys):
    original, copy = tmp_path / "first", tmp_path / "copy"
    address = start(original).address
    shutil.copytree(original, copy)
    assert go_on(copy).address == address
    assert f"{copy} is a copy of {original}, and both are the run {address.run_id} of MLflow" in capsys.readouterr().err


def test_a_run_in_its_folder_or_one_that_was_moved_or_linked_is_no_copy(tmp_path, tables, capsys):
    start(tmp_path / "first")
    (tmp_path / "link").symlink_to(tmp_path / "first")
    go_on(tmp_path / "first")
    go_on(tmp_path / "link")
    (tmp_path / "first").rename(tmp_path / "moved")
    start(tmp_path / "first")  # another one in its old place
    go_on(tmp_path / "moved")
    assert "copy" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a ", " a", "a\nb", "a\x00", "a\u2028b"])
def test_a_name_that_makes_no_folder_of_its_own_is_refused(name):
    with pytest.raises(UserError, match=r"name is .*, and a run's folder has its name"):
        folder_name(name)


@pytest.mark.parametrize("name", ["first", "my run", "K=3-seed=1", "..a", "Ä-日本", "v1.2"])
def test_any_other_name_is_taken(name):
    assert folder_name(name) == name


def test_a_command_that_is_named_can_be_given_as_it_stands(tmp_path, tables):
    start(tmp_path / "my first run")
    with pytest.raises(UserError, match=f"go on with it: quorum pretrain --resume '{tmp_path}/my first run'"):
        Run.open(f"{tmp_path}/my first run", kind="semisup")
