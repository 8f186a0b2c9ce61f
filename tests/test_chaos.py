"""One of each part of a training is killed, and the training goes on to the same end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from benchmarks.chaos.servers import postgres_binaries
from benchmarks.chaos.victims import VICTIMS
from tests.helpers.places import ROOT


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_training_survives_the_death_of_each_of_its_parts(tmp_path):
    results = tmp_path / "chaos.jsonl"
    command = [sys.executable, "-m", "benchmarks.chaos", "--seed", "1", "--results", str(results)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    kills = [json.loads(line) for line in results.read_text().splitlines()]
    assert {kill["victim"] for kill in kills} == {*VICTIMS} - ({"database"} if postgres_binaries() is None else set())
    assert all(kill["killed"] for kill in kills)
    assert [kill for kill in kills if not kill["equal"] or kill["tracebacks"] or kill["left"]] == []
    assert done.returncode == 0, done.stderr
