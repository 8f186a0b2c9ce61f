"""The journal: what was written is there, whenever its process died."""

from __future__ import annotations

import pytest

from pipelines.tracking.journal import Journal, read_journal


def entries(*numbers):
    return [{"step": number} for number in numbers]


def fill(journal, *numbers):
    for entry in entries(*numbers):
        journal.append(entry)


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
