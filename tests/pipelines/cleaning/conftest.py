"""Storages of runs of version 0.1."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.runs.old_storage import old_storage


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    """What version 0.1 left, as if it had been a month ago."""
    return old_storage(tmp_path)


@pytest.fixture
def quiet(tmp_path: Path) -> Path:
    """The same without old checkpoints, so that MLflow is not asked and nothing goes that is not wished."""
    return old_storage(tmp_path, checkpoints=False)
