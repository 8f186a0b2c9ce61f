"""What a disk refuses is said in words: which file, what the system says of it, and what to do about that."""

from __future__ import annotations

import errno
import os

import pytest

from pipelines.files.location import Location
from pipelines.files.storage_errors import said_of, storage_sentence


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.ENOSPC, "free some room, and go on from here"),
        (errno.EDQUOT, "free some room, and go on from here"),
        (errno.EFBIG, "files may not be as large as that (ulimit -f): raise the limit, and go on from here"),
        (errno.EROFS, "mount it for writing, or choose another place"),
        (errno.EACCES, "give yourself the right to it, or choose another place"),
        (errno.EIO, "look at that place, and go on from here"),
    ],
)
def test_each_refusal_has_its_own_advice(number, advice):
    assert storage_sentence(OSError(number, os.strerror(number), "/runs/x")) == f"/runs/x: {os.strerror(number)}; {advice}"


def test_what_pyarrow_and_we_say_has_no_number_either(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="errno") as refused:
        Location.of(tmp_path / "file" / "folder").make()
    assert said_of(refused.value).startswith("Cannot create directory")
    assert "errno" not in said_of(refused.value)
    with pytest.raises(OSError, match="cannot be written") as refused:
        Location.of(tmp_path / "nowhere" / "few.json").write_bytes(b"")
    assert said_of(refused.value) == f"{tmp_path}/nowhere/few.json cannot be written: No such file or directory"
