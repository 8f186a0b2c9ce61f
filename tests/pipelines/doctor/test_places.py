"""What the doctor writes to a storage goes again, however its checks end."""

from __future__ import annotations

import signal

import pytest

from pipelines.doctor import examine
from pipelines.doctor.examine import Asked
from pipelines.doctor.places import clear, open_storage
from pipelines.errors import Stopped


def test_all_folders_that_were_made_go_again(tmp_path):
    clear(open_storage(str(tmp_path / "new" / "project" / "runs")))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_others_have_begun_to_use_stays(tmp_path):
    asked = open_storage(str(tmp_path / "new" / "runs"))
    (tmp_path / "new" / "theirs").write_text("")
    clear(asked)
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["theirs"]


def test_what_a_node_wrote_and_could_not_read_goes_too(tmp_path):
    asked = open_storage(str(tmp_path))
    (tmp_path / f"{asked.beside}-of-a-node").write_bytes(b"")
    clear(asked)
    assert list(tmp_path.iterdir()) == []


def test_a_doctor_that_is_stopped_leaves_nothing(tmp_path, monkeypatch):
    def stop(_: Asked) -> None:
        raise Stopped(signal.SIGINT)

    monkeypatch.setattr(examine, "_join", stop)  # which takes the most time
    with pytest.raises(Stopped):
        examine.examine(Asked(storage=str(tmp_path / "new" / "runs")))
    assert list(tmp_path.iterdir()) == []
