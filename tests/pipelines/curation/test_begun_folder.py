"""Work that was killed goes on in its folder; other work is refused there."""

from __future__ import annotations

import pytest

from pipelines.curation.begun_folder import finish, may_take, take
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer

PLAN = {"data": "a1", "sizes": (2, 3)}


@pytest.fixture
def folder(tmp_path):
    return Location.of(tmp_path / "made" / "here")


def test_the_same_work_goes_on_and_other_work_is_told_what_differs(folder):
    assert not may_take(folder, PLAN, "done.json")
    take(folder, PLAN)
    (folder / "part.parquet").write_bytes(b"some")
    assert may_take(folder, PLAN, "done.json")
    with pytest.raises(UserError, match="was begun with other data, more; give the same again"):
        may_take(folder, PLAN | {"data": "b2", "more": 1}, "done.json")


def test_a_finished_folder_is_taken_for_ever(folder):
    take(folder, PLAN)
    finish(folder, "done.json", {"rows": 3}, 1)
    assert folder.children() == ["done.json"]
    with pytest.raises(UserError, match="is finished; choose another folder for --to"):
        may_take(folder, PLAN, "done.json")


def test_a_folder_of_other_things_and_a_file_are_refused(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("of somebody")
    for place, said in ((tmp_path, "is not empty"), (tmp_path / "notes.txt", "is a file")):
        with pytest.raises(UserError, match=said):
            may_take(Location.of(place), PLAN, "done.json")


def test_what_a_killed_write_left_is_nobodys_and_goes(folder):
    folder.make()
    left = [f"{name}.{'0a' * 16}.partial" for name in ("_begun.json", "sizes.parquet")]
    for name in (left[0], "mine.partial"):
        (folder / name).write_bytes(b"cut")
    with pytest.raises(UserError, match="is not empty"):
        may_take(folder, PLAN, "done.json")
    (folder / "mine.partial").delete_file()
    assert not may_take(folder, PLAN, "done.json")
    (folder / left[1]).write_bytes(b"cut")
    take(folder, PLAN)
    assert folder.children() == ["_begun.json"]


def test_who_has_the_turn_to_write_an_empty_folder_finds_it_empty(folder):
    with one_writer(folder):
        assert not may_take(folder, PLAN, "done.json")
