"""Locations: local paths and URIs, and writes that are whole or absent."""

from __future__ import annotations

import os
import pickle

import pyarrow as pa
import pyarrow.fs as pafs
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipelines.errors import UserError
from pipelines.files.location import Location, is_on_disk
from pipelines.files.parquet_reader import ParquetReader


@pytest.fixture(params=["local", "memory"])
def folder(request, tmp_path):
    """A folder on the local disk, and one on a file system that is not local."""
    if request.param == "local":
        return Location.of(tmp_path / "folder").make()
    memory = pafs.PyFileSystem(pafs.FSSpecHandler(MemoryFileSystem()))
    return Location(memory, str(tmp_path / "folder")).make()


def test_a_relative_path_and_a_home_path_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Location.of("runs").path == str(tmp_path / "runs")
    assert Location.of("~/runs").path == str(tmp_path / "home" / "runs")


def test_a_file_uri_is_the_local_path(tmp_path):
    location = Location.of(f"file://{tmp_path}")
    assert location == Location.of(tmp_path)
    assert location.is_local
    assert str(location) == str(tmp_path)


@pytest.mark.parametrize(("place", "here"), [("runs", True), ("file:///runs", True), ("s3://nobody/runs", False)])
def test_whether_a_place_is_on_the_disk_is_told_without_asking_a_storage(place, here):
    assert is_on_disk(place) == here


def test_an_unknown_scheme_is_named():
    with pytest.raises(UserError, match=r"no file system serves 's4://bucket/x'"):
        Location.of("s4://bucket/x")


def test_equal_places_are_equal_after_a_pickle_and_hash_alike(tmp_path):
    location = Location.of(tmp_path)
    copy = pickle.loads(pickle.dumps(location))
    assert copy == location
    assert hash(copy) == hash(location)
    assert location / "a" != location / "b"


def test_name_is_the_last_part(tmp_path):
    assert (Location.of(tmp_path) / "runs" / "first").name == "first"
    assert Location(pafs.LocalFileSystem(), "/data/digits/").name == "digits"


def test_bytes_and_json_come_back(folder):
    (folder / "a.bin").write_bytes(b"\x00\xff")
    (folder / "b.json").write_json({"rows": [1, 2], "name": "ä"})
    assert (folder / "a.bin").read_bytes() == b"\x00\xff"
    assert (folder / "b.json").read_json() == {"rows": [1, 2], "name": "ä"}
    assert folder.children() == ["a.bin", "b.json"]


def test_tables_come_back_whole_or_by_column(folder):
    table = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})
    (folder / "t.parquet").write_parquet(table, row_group_size=2)
    assert ParquetReader(folder / "t.parquet").read().equals(table)
    assert ParquetReader(folder / "t.parquet").read(["b"]).equals(table.select(["b"]))
    assert folder.children() == ["t.parquet"]


def test_a_write_replaces_the_old_content(folder):
    for content in (b"a long first content", b"short"):
        (folder / "file").write_bytes(content)
    assert (folder / "file").read_bytes() == b"short"
    assert (folder / "file").size() == 5


def test_what_is_absent_has_no_size_and_no_children(folder):
    assert not (folder / "absent").exists()
    assert (folder / "absent").size() == 0
    assert (folder / "absent").children() == []


def test_a_write_that_the_disk_refuses_leaves_the_old_file_and_nothing_else(tmp_path, small_files):
    folder = Location.of(tmp_path)
    (folder / "file").write_bytes(b"old")
    with small_files(1 << 16), pytest.raises(OSError, match="too large"):
        (folder / "file").write_bytes(bytes(1 << 20))
    assert (folder / "file").read_bytes() == b"old"
    assert folder.children() == ["file"]


def test_a_write_that_cannot_be_moved_into_place_leaves_no_partial_file(tmp_path):
    os.makedirs(tmp_path / "taken" / "by-a-folder")
    with pytest.raises(OSError, match="taken"):
        (Location.of(tmp_path) / "taken").write_bytes(b"x")
    assert Location.of(tmp_path).children() == ["taken"]


def test_a_uri_keeps_its_query_below_the_folder(tmp_path):
    place = Location.of(f"file://{tmp_path}") / "runs" / "first"
    assert place.path == f"{tmp_path}/runs/first"
    remote = Location(place.filesystem, "bucket/x", "s3://bucket/x?endpoint_override=localhost%3A9000")
    assert str(remote / "runs" / "first") == "s3://bucket/x/runs/first?endpoint_override=localhost%3A9000"
    assert (remote / "runs").path == "bucket/x/runs"


ODD = "a b%20#?[ü]%.parquet"


@pytest.mark.parametrize("scheme", ["mock", "memory"])
def test_a_file_of_any_name_is_found_again_by_its_address(scheme):
    folder = Location.of(f"{scheme}://x/{ODD[:2]}")
    file = folder / "inner#1" / "what?" / ODD
    assert file.path.endswith(f"/inner#1/what?/{ODD}")
    for place in (file, file.parent, file.parent.parent):
        assert Location.of(str(place)).path == place.path
    assert "[ü]" in str(file)  # which people read, too


def test_an_address_is_taken_as_it_is_typed():
    assert Location.of("mock://x/my photos #1/ü [2]/100%").path == "my photos #1/ü [2]/100%"
    assert Location.of("mock://x/my%20photos").path == "my photos"


@pytest.mark.parametrize("place", ["s3://", "gs:///x", "s3://?region=eu"])
def test_an_address_without_a_bucket_is_refused_at_once(place):
    with pytest.raises(UserError, match="names no bucket; give "):
        Location.of(place)


@pytest.mark.parametrize(
    "place", ["github://org/repository", "reference://x", "simplecache://x", "dir://x", "generic://x", "nothing://x"]
)
def test_a_scheme_that_wants_more_than_an_address_is_refused_in_one_sentence(place):
    with pytest.raises(UserError, match=f"no file system serves '{place}'") as said:
        Location.of(place)
    assert "\n" not in str(said.value)


def test_what_was_cut_off_goes_and_a_name_that_only_ends_so_stays(tmp_path):
    for name in (f"a.parquet.{'0f' * 16}.partial", "film.partial", f"b.{'0g' * 16}.partial", "a.parquet"):
        (tmp_path / name).write_bytes(b"some")
    Location.of(tmp_path).delete_cut_off()
    assert Location.of(tmp_path).children() == ["a.parquet", f"b.{'0g' * 16}.partial", "film.partial"]


def test_a_folder_goes_with_what_is_in_it_and_may_be_absent(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c.txt").write_text("some")
    Location.of(tmp_path / "a").delete_folder()
    Location.of(tmp_path / "a").delete_folder()
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("place", ["/data/digits", "s3://bucket/data?endpoint_override=host"])
def test_the_way_from_a_place_to_itself_is_empty(place):
    here = Location.of(place)
    assert here / "" is here


def test_a_folder_that_takes_no_file_is_told_before_the_work(folder, tmp_path):
    assert (folder / "new").make_writable().children() == []
    with pytest.raises(OSError, match="/proc"):
        Location.of("/proc").make_writable()  # it is there, and no right in the world helps
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(OSError, match="taken"):
        Location.of(tmp_path / "taken").make_writable()


@pytest.mark.parametrize("place", ["a\udcff", "a\0b", "s3://bucket/a\udcff"])
def test_a_path_that_is_no_text_is_refused(place):
    with pytest.raises(UserError, match=r"the path '.*' has a character that no path may have, or is no UTF-8"):
        Location.of(place)
