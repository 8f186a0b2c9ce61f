"""What is wanted next is loaded meanwhile; what cannot be loaded harms nobody before it is used."""

from __future__ import annotations

import sys
import threading

from pipelines.jobs.loading import RECORD, loading
from tests.helpers.machines.fresh_imports import loaded_by


def test_modules_are_there_after_the_block_and_load_beside_it(tmp_path, monkeypatch):
    (tmp_path / "wanted_next.py").write_text("import threading\nby = threading.current_thread()\n")
    monkeypatch.syspath_prepend(tmp_path)
    with loading("not_to_be_found", "wanted_next"):
        pass
    assert sys.modules.pop("wanted_next").by is not threading.current_thread()


def test_the_record_has_what_it_needs():
    assert {"mlflow", "sqlalchemy"} <= loaded_by(*RECORD)
