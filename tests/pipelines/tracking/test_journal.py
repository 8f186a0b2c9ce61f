"""The journal: what was written is there, whenever its process died."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import threading

import pytest

from pipelines.errors import UserError
from pipelines.tracking.journal import JOURNAL, Journal, damaged_lines, is_held, newest_status, read_journal


def entries(*numbers):
    return [{"step": number} for number in numbers]


def fill(journal, *numbers):
    for entry in entries(*numbers):
        journal.append(entry)


def test_a_run_is_as_its_newest_status_says():
    told = [{"kind": "status", "status": status, "time": 0} for status in ("RUNNING", "FAILED", "RUNNING")]
    assert newest_status([*told[:2], {"kind": "tag", "key": "status", "value": "FINISHED"}]) == "FAILED"
    assert newest_status(told) == "RUNNING"
    assert newest_status([]) is None


def test_entries_wait_until_they_are_delivered(tmp_path):
    journal = Journal(tmp_path)
    fill(journal, 0, 1, 2)
    journal.delivered(2)
    assert journal.waiting == entries(2)
    assert journal.history() == entries(0, 1, 2)
    journal.close()
    again = Journal(tmp_path)
    assert again.waiting == entries(2)
    fill(again, 3)
    assert again.waiting == entries(2, 3)


@pytest.mark.parametrize("cut", ['{"step": 1', '{"step": 1}', "\x00\x00"])
def test_a_last_line_that_was_cut_short_is_dropped(tmp_path, cut):
    journal = Journal(tmp_path)
    fill(journal, 0)
    journal.close()
    with journal.path.open("a") as file:
        file.write(cut)
    assert read_journal(tmp_path) == entries(0)
    again = Journal(tmp_path)
    fill(again, 2)
    assert again.history() == again.waiting == entries(0, 2)


def test_reading_a_journal_that_is_being_written_changes_nothing(tmp_path):
    journal = Journal(tmp_path)
    fill(journal, 0)
    with journal.path.open("a") as file:
        file.write('{"ste')
    before = journal.path.read_bytes()
    assert read_journal(tmp_path) == entries(0)
    assert journal.path.read_bytes() == before


def test_no_journal_has_no_entries(tmp_path):
    assert read_journal(tmp_path / "absent") == []


def test_a_call_that_comes_again_counts_once(tmp_path):
    journal = Journal(tmp_path)
    for call in ("a-0", "a-1", "a-0", None, None):
        journal.append({"step": 0}, call)
    assert len(journal.history()) == len(journal.waiting) == 4
    journal.close()
    again = Journal(tmp_path)  # the process died, and was sent the call again
    again.append({"step": 9}, "a-1")
    assert again.knows("a-1")
    assert not again.knows("a-2")
    assert again.history() == entries(0, 0, 0, 0)


def test_what_a_full_disk_refuses_is_delivered_once_and_written_when_there_is_room(tmp_path, small_files):
    journal = Journal(tmp_path)
    fill(journal, 0, 1)
    size = journal.path.stat().st_size
    with small_files(size + 5):  # a part of the next line still fits
        for number in (2, 3):
            with pytest.raises(OSError, match="too large"):
                journal.append({"step": number})
        assert journal.path.stat().st_size == size
        assert read_journal(tmp_path) == entries(0, 1)
        assert journal.waiting == entries(0, 1, 2, 3)
        journal.delivered(3)
    fill(journal, 4)
    assert read_journal(tmp_path) == entries(0, 1, 2, 3, 4)
    assert journal.waiting == entries(3, 4)
    journal.close()
    assert Journal(tmp_path).waiting == entries(3, 4)


def test_the_mark_counts_by_numbers_not_by_lines(tmp_path, small_files):
    journal = Journal(tmp_path)
    fill(journal, 0)
    with small_files(journal.path.stat().st_size), pytest.raises(OSError, match="too large"):
        fill(journal, 1)
    journal.delivered(2)  # MLflow has both, the file one; and the process dies
    del journal
    again = Journal(tmp_path)
    assert again.waiting == []
    fill(again, 2)
    assert again.waiting == entries(2)
    again.close()
    assert Journal(tmp_path).waiting == entries(2)


def test_a_journal_of_version_0_1_goes_on_by_its_lines(tmp_path):
    lines = [{"kind": "note", "step": step} for step in range(3)]
    (tmp_path / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (tmp_path / "journal.sent").write_text("2")
    journal = Journal(tmp_path)
    assert journal.waiting == lines[2:]
    fill(journal, 3)
    journal.delivered(1)
    journal.close()
    assert Journal(tmp_path).waiting == entries(3)


def test_a_journal_is_held_though_somebody_looks_whether_it_is_as_it_is_opened(tmp_path):
    (tmp_path / JOURNAL).touch()
    with (tmp_path / JOURNAL).open("r+b") as look:
        fcntl.flock(look, fcntl.LOCK_EX)
        looked = threading.Timer(0.2, lambda: fcntl.flock(look, fcntl.LOCK_UN))
        looked.start()
        journal = Journal(tmp_path)
        looked.join()
        assert is_held(tmp_path)
    journal.close()
    assert not is_held(tmp_path)


def test_another_writer_waits_until_the_journal_is_closed_and_numbers_its_entries_on(tmp_path):
    first = Journal(tmp_path)
    fill(first, 0)
    closing = threading.Timer(0.3, first.close)
    closing.start()
    second = Journal(tmp_path)
    closing.join()
    fill(second, 1)
    assert second.history() == second.waiting == entries(0, 1)


def test_another_writer_is_refused_in_a_sentence_after_a_time_and_has_changed_nothing(tmp_path, monkeypatch):
    first = Journal(tmp_path)
    fill(first, 0)
    with first.path.open("ab") as file:
        file.write(b'{"step": 1')  # which the first is just writing
    before = first.path.read_bytes()
    monkeypatch.setattr("pipelines.tracking.journal.HOLD_SECONDS", 0.2)
    with pytest.raises(UserError, match=rf"^another process writes {first.path}; wait until it has ended, or end it$"):
        Journal(tmp_path)
    assert first.path.read_bytes() == before


def test_a_writer_that_was_killed_keeps_nobody_out(tmp_path):
    script = "import sys, time; from pathlib import Path; from pipelines.tracking.journal import Journal; " \
        "journal = Journal(Path(sys.argv[1])); journal.append({'step': 0}); print(flush=True); time.sleep(60)"  # fmt: skip
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline()
        assert is_held(tmp_path)
        writer.kill()
    journal = Journal(tmp_path)
    fill(journal, 1)
    assert journal.history() == entries(0, 1)


def test_damaged_and_missing_lines_of_a_journal_are_counted(tmp_path):
    journal = Journal(tmp_path)
    for number in range(3):
        journal.append({"kind": "note", "value": number})
    lines = journal.path.read_bytes().splitlines(keepends=True)
    assert damaged_lines(b"".join(lines) + b'{"kind"') == 0  # one that is being written is not
    assert damaged_lines(lines[0] + b"%\n" + lines[2]) == 1
    assert damaged_lines(lines[0] + lines[2]) == 1
