"""A Python of its own, for what a process has once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.helpers.places import ROOT

ANSWERING = """
import json, pathlib
pathlib.Path({place!r}).write_text(json.dumps(answer))
"""


def said_by(code: str, *given: str) -> str:
    """What it says: this one may have a Ray already."""
    done = subprocess.run([sys.executable, "-c", code, *given], capture_output=True, text=True, timeout=200, check=False)
    return done.stdout + done.stderr


def answer_of(code: str, *given: str, **environment: str) -> Any:
    """What `code` calls `answer` at its end, through a file: among the lines that it prints may be some of Ray's, at any time."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "answer.json"
        command = [sys.executable, "-c", code + ANSWERING.format(place=str(place)), *given]
        told = os.environ | environment
        done = subprocess.run(command, cwd=ROOT, env=told, capture_output=True, text=True, timeout=240, check=False)
        assert place.exists(), done.stdout[-3000:] + done.stderr[-3000:]
        return json.loads(place.read_text())
