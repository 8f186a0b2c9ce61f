"""Documents and notes: what is read back is what was written, and what lacks something is one sentence."""

from __future__ import annotations

import json

import pytest

from pipelines.errors import UserError
from pipelines.files.documents import read_document, read_note, write_document
from pipelines.files.location import Location


@pytest.fixture
def place(tmp_path) -> Location:
    return Location.of(tmp_path) / "note.json"


def test_a_document_is_read_as_it_was_written_and_an_edited_one_is_refused(place):
    write_document(place, {"rows": 3}, form=2)
    assert read_document(place, 2, "make it again") == {"rows": 3}
    with pytest.raises(UserError, match="has format 2, this version reads 1; make it again"):
        read_document(place, 1, "make it again")
    place.write_json(json.loads(place.read_bytes()) | {"rows": 4})
    with pytest.raises(UserError, match="was edited or is damaged"):
        read_document(place, 2, "make it again")


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"reason": "full"}, "it has no 'outcome'; restore it"),
        ({"outcome": None}, "its outcome is None"),
        (["outcome"], "and no keys"),
        (None, "it holds None"),
    ],
)
def test_a_note_that_lacks_a_key_or_has_another_value_is_one_sentence(place, held, said):
    place.write_json(held)
    with pytest.raises(UserError, match=rf"note.json is .*{said}"):
        read_note(place, outcome=str)


def test_a_note_is_read_whole_and_one_that_is_missing_is_said(place):
    with pytest.raises(UserError, match="is missing; restore it"):
        read_note(place, outcome=str)
    place.write_json({"outcome": "failed", "reason": "full"})
    assert read_note(place, outcome=str) == {"outcome": "failed", "reason": "full"}
