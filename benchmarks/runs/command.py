"""The `quorum` command as the benchmarks run it, and what its runs have written down."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from pipelines.tracking.journal import read_journal


def quorum(*words: str) -> str:
    """Run a command to its end and return what it printed; its errors and progress go where ours go."""
    print("$ quorum", *words, flush=True)
    finished = subprocess.run([sys.executable, "-m", "quorum", *words], stdout=subprocess.PIPE, text=True, check=False)
    print(finished.stdout, flush=True)
    if finished.returncode:
        raise SystemExit(f"quorum {words[0]} ended with exit code {finished.returncode}")
    return finished.stdout


def score(run: Path, name: str, *options: str) -> float:
    """A score of a run on test images."""
    (found,) = re.findall(rf"test/{name}\D+([\d.]+)", quorum("evaluate", str(run), *options))
    return float(found)


def figures(run: Path, word: str) -> list[float]:
    """The values, in the order they came, of every figure in a run's journal whose name holds `word`."""
    entries = (entry.get("values", {}) for entry in read_journal(run))
    return [value for values in entries for name, value in values.items() if word in name]
