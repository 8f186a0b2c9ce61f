"""The journal of a remote run: pieces on its storage, of which only the last changes, and the way back."""

from __future__ import annotations

import os

import pytest

from pipelines.files.location import Location
from pipelines.tracking import local_copy
from pipelines.tracking.journal import JOURNAL, MARK, Journal, read_journal
from pipelines.tracking.local_copy import PIECES, JournalCopy, fetch_journal, local_folder


class Elsewhere(Location):
    """A folder that counts as remote."""

    is_local = False

    def __truediv__(self, name):
        found = super().__truediv__(name)
        return Elsewhere(found.filesystem, found.path)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A run's folder elsewhere, for which this machine has `outputs` in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local_copy, "PIECE_BYTES", 100)
    place = Location.of(tmp_path / "bucket" / "run").make()
    return Elsewhere(place.filesystem, place.path)


def test_only_pieces_that_grew_are_written_and_together_they_are_the_journal(remote, tmp_path):
    journal, copy = Journal(tmp_path / "here"), JournalCopy(tmp_path / "here", remote)
    written = []
    for number in range(12):
        journal.append({"kind": "note", "value": number})
        copy.update()
        written.append({name: os.stat(f"{remote.path}/{PIECES}/{name}").st_mtime_ns for name in (remote / PIECES).children()})
    pieces = (remote / PIECES).children()
    assert len(pieces) > 4
    assert written[-1][pieces[0]] == written[-4][pieces[0]]  # sealed long before
    assert b"".join((remote / PIECES / name).read_bytes() for name in pieces) == journal.path.read_bytes()


def test_a_journal_that_went_on_elsewhere_is_fetched_whole_and_sent_again(remote, tmp_path):
    there, here = Journal(tmp_path / "there"), local_folder(remote)
    for number in range(6):
        there.append({"kind": "note", "value": number})
        if number == 2:
            JournalCopy(tmp_path / "there", remote).update()
            fetch_journal(remote)
            (here / MARK).write_text("3")
    JournalCopy(tmp_path / "there", remote).update()
    fetch_journal(remote)
    assert [entry["value"] for entry in read_journal(here)] == list(range(6))
    assert not (here / MARK).exists()
    Journal(here).append({"kind": "note", "value": 6})
    fetch_journal(remote)  # what is here is more than the copy has
    assert len(read_journal(here)) == 7


def test_the_one_file_of_version_0_1_is_fetched_too(remote, tmp_path):
    (remote / JOURNAL).write_bytes(b'{"kind": "note", "value": 1}\n')
    fetch_journal(remote)
    assert [entry["value"] for entry in read_journal(local_folder(remote))] == [1]


def test_where_two_machines_went_on_from_one_copy_the_later_copy_wins(remote, tmp_path):
    first = Journal(local_folder(remote))
    first.append({"kind": "note", "value": 1})
    JournalCopy(local_folder(remote), remote).update()
    fetch_journal(remote, tmp_path / "second")
    for number in (2, 3, 4):  # never copied: this machine was lost in mid-epoch
        first.append({"kind": "note", "value": number})
    Journal(tmp_path / "second").append({"kind": "note", "value": 5})
    JournalCopy(tmp_path / "second", remote).update()
    fetch_journal(remote)
    assert [entry["value"] for entry in read_journal(local_folder(remote))] == [1, 5]


def test_remote_folders_of_one_name_have_local_folders_of_their_own(remote):
    other = Elsewhere(remote.filesystem, f"{remote.parent.path}/other/run")
    assert local_folder(remote).name.startswith("run-")
    assert local_folder(remote) != local_folder(other)
