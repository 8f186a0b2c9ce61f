"""The folder that a driver writes to is looked at where the driver is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pipelines.doctor.examine import _own
from pipelines.doctor.findings import Page, State, fault
from pipelines.doctor.own_folders import look_at_own_folder
from tests.helpers.machines.needs import needs_mounts
from tests.helpers.places import ROOT

CODE = """
import sys
from pipelines.doctor.own_folders import look_at_own_folder
print(*(found.state + " " + found.sentence for found in look_at_own_folder(sys.argv[1] or None)), sep="\\n")
"""


def said_within(mount: str, storage: str, folder: Path) -> str:
    """What is found by a process that sees a mount which nobody else sees, with `folder` as its working folder."""
    script = f"""{mount} && cd '{folder}' && exec "$0" -c "$1" '{storage}'"""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", script, sys.executable, CODE], env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@needs_mounts
def test_a_full_local_storage_is_named(tmp_path):
    said = said_within(f"mount -t tmpfs -o size=1m tmpfs {tmp_path}", f"{tmp_path}/runs", tmp_path)
    assert said.startswith(
        f"fault this process: the disk is full: 1.05 MB of 1.05 MB are free in {tmp_path}/runs; free some room"
    )
    assert said.endswith("(docs/problems.md#a-full-disk)")


@needs_mounts
def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    mount = f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"
    why = "where this command writes, cannot be written: its file system is read-only"
    assert said_within(mount, str(tmp_path), tmp_path).startswith(f"fault this process: {tmp_path}, {why}")
    for storage in ("", "s3://bucket/runs?region=us-east-1"):  # whose pictures and journals lie below the working folder
        assert said_within(mount, storage, tmp_path).startswith(f"fault this process: {tmp_path}/outputs, {why}")


def test_where_all_is_well_nothing_is_left(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [*look_at_own_folder(None), *look_at_own_folder(str(tmp_path / "not" / "yet"))]
    assert [one.check for one in found] == ["working folder", "own storage"]
    assert all(one.state in (State.FINE, State.NOTE) and one.node == "this process" for one in found)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_storage_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (found,) = look_at_own_folder(str(tmp_path / "file"))
    assert (found.state, found.page) == (State.FAULT, Page.NOT_SHARED)


def test_what_a_node_has_said_is_not_said_again():
    full = fault("disk of storage", "the disk is full", "free some room", Page.DISK)
    own = fault("own storage", "the disk is full", "free some room", Page.DISK)
    assert _own([own], [full.on("10.0.0.1 (abc)")]) == []
    assert _own([own], []) == [own]
    (late,) = _own(TimeoutError(), [])
    assert (late.state, late.node) == (State.FAULT, "this process")
