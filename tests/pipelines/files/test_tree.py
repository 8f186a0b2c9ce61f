"""Every file below a folder is listed once, in an order that depends on names only."""

from __future__ import annotations

import os

import fsspec
import pytest

from pipelines.files.location import Location
from pipelines.files.tree import BROKEN_LINK, EMPTY, LOOP, NO_FILE, Found, as_spelled, files_below

NAMES = ["a-b/1", "a/1", "a/b/2", "a/b.c", "z"]


def write(folder) -> None:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.fixture(params=["disk", "memory"])
def place(request, tmp_path) -> Location:
    if request.param == "disk":
        write(tmp_path)
        return Location.of(tmp_path)
    memory = fsspec.filesystem("memory")
    for name in NAMES:
        memory.pipe(f"/{tmp_path.name}/{name}", b"")
    return Location.of(f"memory://{tmp_path.name}")


def test_files_come_folder_by_folder(place):
    assert files_below(place) == [Found(name) for name in ("a/1", "a/b/2", "a/b.c", "a-b/1", "z")]


def test_what_cannot_be_followed_is_kept_with_its_reason(tmp_path):
    write(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "gone").symlink_to("nowhere")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    found = {one.path: one.fault for one in files_below(Location.of(tmp_path)) if one.fault}
    assert found == {"empty": EMPTY, "gone": BROKEN_LINK, "a/up": LOOP, "pipe": NO_FILE}


def test_a_folder_that_two_links_lead_to_is_listed_by_both_ways(tmp_path):
    write(tmp_path / "real")
    for name in ("one", "two"):
        (tmp_path / name).symlink_to(tmp_path / "real" / "a")
    paths = [one.path for one in files_below(Location.of(tmp_path))]
    assert [path for path in paths if path.startswith(("one", "two"))] == [
        f"{name}/{file}" for name in ("one", "two") for file in ("1", "b/2", "b.c")
    ]


def test_a_place_is_known_by_other_accents_where_one_name_has_its_letters(tmp_path):
    (tmp_path / "e\u0301").mkdir()
    (tmp_path / "e\u0301" / "u\u0308.png").touch()
    there = Location.of(tmp_path)
    assert as_spelled(there / "\u00e9/\u00fc.png") == there / "e\u0301/u\u0308.png"
    assert as_spelled(there / "\u00e9/\u00f6.png") is None
    assert as_spelled(there / "e.png") is None
