"""Files of a storage; and what cannot be looked into."""

from __future__ import annotations

import os

from pipelines.cleaning.listing import Listing, within
from pipelines.files.location import Location
from tests.helpers.runs.old_storage import end, going, plan


def too_deep(folder) -> None:
    """Folders in each other whose whole path no system call takes, so that nobody can list them all."""
    inner = os.open(folder, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=inner)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=inner)
        os.close(inner)
        inner = below
    os.close(inner)


def test_a_folder_that_cannot_be_read_stays_with_the_run_around_it_and_the_rest_is_looked_at(quiet):
    for run in ("coke", "few"):
        end(quiet / run, "FAILED")
    too_deep(quiet / "coke")
    found = plan(quiet, failed=True)
    assert going(found) == {("run", "few")}
    assert any(
        note.startswith("coke/ddd") and note.endswith("stays: it cannot be read (File name too long)") for note in found.notes
    )
    assert any(note.startswith("coke stays: it failed, and holds what is not of a run: ddd") for note in found.notes)


def test_links_are_no_files_and_nothing_behind_them_is_one(tmp_path):
    for name in ("here/a", "there/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "there")
    listing = Listing(Location.of(tmp_path / "here"))
    assert [file.path for file in listing.files] == ["a"]
    assert listing.links == ["linked"]


def test_a_path_is_within_folders_above_it():
    assert [within(path, {"a/b"}) for path in ("a", "a/b", "a/b/c/d", "a/bc", "")] == [False, True, True, False, False]
    assert within("a", {""})
