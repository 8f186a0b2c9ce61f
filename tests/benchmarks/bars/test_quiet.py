"""A measurement is not taken beside a run, a test, a benchmark or a Ray of ours."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.bars import quiet


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("/repo/.venv/bin/python -m pytest tests", True),
        ("python3.11 /repo/.venv/bin/quorum pretrain", True),
        ("python -m quorum pretrain", True),
        ("python -m benchmarks.stream", True),
        ("ray::IDLE", True),
        ("/site-packages/ray/core/src/ray/raylet/raylet --x", True),
        ("python -m http.server", False),
        ("vim tests/quorum", False),
    ],
)
def test_which_programs_disturb(line, ours):
    assert quiet.is_ours(line.split()) == ours


def test_a_program_of_ours_and_a_load_are_named(monkeypatch):
    monkeypatch.setattr(quiet, "is_ours", lambda words: "a-benchmark" in words)
    monkeypatch.setattr(quiet, "MOST_LOAD", 1e9)
    assert quiet.disturbance() == ""
    other = subprocess.Popen([sys.executable, "-c", "input()", "a-benchmark"], stdin=subprocess.PIPE)
    try:
        assert f"process {other.pid} runs" in quiet.disturbance()
    finally:
        other.communicate(b"\n")
    monkeypatch.setattr(quiet, "MOST_LOAD", -1)
    assert quiet.disturbance().startswith("the load is ")
