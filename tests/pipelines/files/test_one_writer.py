"""One process at a time writes a folder; one that is dead or out of reach keeps nobody out, and one that comes back ends."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.errors import UserError
from pipelines.files import one_writer as module
from pipelines.files.location import Location
from pipelines.files.one_writer import NOTE, is_seen_at_work, one_writer, refuse_at_work
from pipelines.jobs.stops import stops_at_once, stops_in_grace

ELSEWHERE = {"host": "node-7", "pid": 12, "machine": "another", "started": "1", "since": "2026-01-02 03:04:05", "folder": "/runs"}
HOLDS = """
import sys, time
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
try:
    with one_writer(Location.of(sys.argv[1])):
        print("has it", flush=True)
        time.sleep(float(sys.argv[2]))
except UserError as error:
    print(error, flush=True)
"""


@pytest.fixture
def quick(monkeypatch):
    """Seconds of the note, shortened."""
    for name, seconds in {"RENEWED": 0.05, "LOOKED": 0.05, "SILENCE": 0.6, "SETTLED": 0.1, "TORN": 0.01}.items():
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def folder(tmp_path) -> Location:
    return Location.of(tmp_path / "run")


@contextmanager
def another(folder: Location, seconds: float = 60) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process that wants the folder for some seconds, and what it said as it got the folder, or was refused."""
    words = [sys.executable, "-c", HOLDS, str(folder), str(seconds)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        try:
            yield process, said
        finally:
            process.kill()


def note(folder: Location, **parts: object) -> None:
    """Write one of a process of another machine."""
    content = {**ELSEWHERE, "turn": "theirs", "renewed": time.time(), **parts}
    (folder.make() / NOTE).write_json(content)


def test_a_folder_that_another_process_writes_is_refused_in_a_sentence(folder):
    with another(folder) as (process, _):
        who = rf"process {process.pid} on \S+ \(since [-\d]+ [:\d]+\)"
        said = rf"^{folder} is being written by {who}; wait until that has ended, end it, or take another folder$"
        with pytest.raises(UserError, match=said), one_writer(folder):
            pass
        assert is_seen_at_work(folder)
        assert json.loads((folder / NOTE).read_bytes())["pid"] == process.pid


def test_a_process_that_was_killed_keeps_nobody_out(folder):
    with another(folder) as (process, _):
        process.kill()
    assert (folder / NOTE).exists()
    assert not is_seen_at_work(folder)
    began = time.monotonic()
    with one_writer(folder), another(folder) as (_, said):
        assert "is being written" in said
    assert time.monotonic() - began < module.SILENCE / 2


def test_nothing_is_left_of_a_turn_but_what_was_written_in_it(folder):
    with one_writer(folder):
        assert is_seen_at_work(folder)
    assert not folder.exists()
    with one_writer(folder):
        (folder / "labels").write_bytes(b"1")
    assert folder.children() == ["labels"]


def test_another_piece_of_work_of_the_same_process_is_kept_out_too_while_the_turn_lasts(folder):
    with one_writer(folder), pytest.raises(UserError, match="is being written"), one_writer(folder):
        pass
    with one_writer(folder):
        left = (folder / NOTE).read_bytes()
    (folder.make() / NOTE).write_bytes(left)  # the storage refused to remove it
    with one_writer(folder):
        pass


def test_of_several_that_come_at_once_one_has_the_folder(folder, quick):
    told, start = list[str](), threading.Barrier(8)

    def come() -> None:
        start.wait()
        try:
            with one_writer(folder):
                told.append("has it")
                time.sleep(1)
        except UserError as error:
            told.append(str(error))

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == 8
    assert told.count("has it") == 1
    assert all("is being written" in word for word in told if word != "has it")


def test_a_copy_of_a_folder_that_is_being_written_is_nobodys(folder, tmp_path):
    with another(folder):
        shutil.copytree(folder.path, tmp_path / "copy")
        with one_writer(Location.of(tmp_path / "copy")):
            pass
        (tmp_path / "link").symlink_to(folder.path)
        with pytest.raises(UserError, match="is being written"):
            refuse_at_work(Location.of(tmp_path / "link"))


def test_a_note_of_another_machine_counts_while_it_is_renewed(folder, quick, capsys):
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(0.05):
            note(folder)

    note(folder)
    thread = threading.Thread(target=renew)
    thread.start()
    with pytest.raises(UserError, match=re.escape("process 12 on node-7 (since 2026-01-02 03:04:05)")), one_writer(folder):
        pass
    ended.set()
    thread.join()
    assert "looking for 0.6 s whether that still is at work" in capsys.readouterr().err


def test_a_note_of_a_machine_that_was_lost_keeps_nobody_out_for_longer_than_a_look(folder, quick):
    note(folder)
    began = time.monotonic()
    with one_writer(folder):
        assert 0.6 < time.monotonic() - began < 10
        assert json.loads((folder / NOTE).read_bytes())["turn"] != "theirs"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"turn": 1, "renewed": 1.0}', b'{"turn": "a", "renewed": "b"}'])
def test_a_damaged_note_keeps_nobody_out(folder, quick, content):
    (folder.make() / NOTE).write_bytes(content)
    with one_writer(folder):
        assert is_seen_at_work(folder)


def test_one_that_was_taken_for_gone_ends_as_it_comes_back_and_leaves_the_note_of_the_other(folder, quick):
    def work() -> None:
        with stops_at_once(), one_writer(folder):
            note(folder)
            time.sleep(20)

    began = time.monotonic()
    with pytest.raises(UserError, match=rf"^process 12 on node-7 \(since .*\) goes on with {folder}: this process was out of"):
        work()
    assert time.monotonic() - began < 10
    assert json.loads((folder / NOTE).read_bytes())["turn"] == "theirs"


def test_it_saves_nothing_before_it_ends(folder, quick):
    def work() -> None:
        with (
            stops_at_once(), one_writer(folder) as turn,
            stops_in_grace(lambda: pytest.fail("nobody is to save"), 30, at_once=lambda: bool(turn.lost)),
        ):  # fmt: skip
            note(folder)
            time.sleep(20)

    with pytest.raises(UserError, match="goes on with"):
        work()


def test_one_that_comes_back_when_the_other_has_ended_ends_too(folder, quick, monkeypatch):
    def work() -> None:
        with stops_at_once(), one_writer(folder):
            monkeypatch.setattr(module.time, "time", lambda: 1e12)  # it slept for long
            Path((folder / NOTE).path).unlink()
            time.sleep(20)

    with pytest.raises(UserError, match="was gone on with while this process was out of reach"):
        work()


def test_a_note_that_was_deleted_comes_back(folder, quick):
    with one_writer(folder):
        Path((folder / NOTE).path).unlink()
        deadline = time.monotonic() + 10
        while not (folder / NOTE).exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_folder_that_cannot_be_written_is_left_to_whoever_writes_there(tmp_path):
    (tmp_path / "run").touch()  # a file where the folder should be
    with one_writer(Location.of(tmp_path / "run")) as turn:
        assert turn.lost == ""


@pytest.mark.job
def test_a_bucket_has_one_writer_too(monkeypatch):
    pytest.importorskip("moto", reason="needs the S3 server of the dev extra")
    from tests.helpers.machines.s3 import KEYS, serving

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with serving() as server:
        place = Location.of(server.uri("runs/first"))
        with another(place) as (process, _):
            with pytest.raises(UserError, match=f"is being written by process {process.pid} on"), one_writer(place):
                pass
            process.kill()
        with one_writer(place):
            assert (place / NOTE).exists()
        assert not (place / NOTE).exists()
        note(place)
        monkeypatch.setattr(module, "SILENCE", 0.1)
        with one_writer(place):  # after a look
            assert json.loads((place / NOTE).read_bytes())["turn"] != "theirs"
