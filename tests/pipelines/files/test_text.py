"""Text of files, as tools save it."""

from __future__ import annotations

import pytest

from pipelines.files.text import decoded


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_marks_are_no_text(encoding):
    assert decoded("Bär,1\n".encode(encoding)) == "Bär,1\n"


@pytest.mark.parametrize("content", ["Bär".encode("cp1252"), "Bar".encode("utf-16-le"), "Bar".encode("utf-16-be")])
def test_another_encoding_is_refused(content):
    with pytest.raises(UnicodeDecodeError):
        decoded(content)
