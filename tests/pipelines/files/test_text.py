"""Text of files, as tools save it."""

from __future__ import annotations

import pytest

from pipelines.files.text import decoded


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_are_no_text(encoding):
    assert decoded("Bär,1\n".encode(encoding)) == "Bär,1\n"


def test_another_encoding_is_refused():
    with pytest.raises(UnicodeDecodeError):
        decoded("Bär".encode("cp1252"))
