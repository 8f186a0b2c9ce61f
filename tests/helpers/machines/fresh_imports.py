"""What an import brings with it, seen in an interpreter that has imported nothing else."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = "import sys, importlib; [importlib.import_module(name) for name in sys.argv[1:]]; print(*sys.modules)"


def loaded_by(*modules: str) -> set[str]:
    """Top-level packages that are loaded after the modules were imported."""
    done = subprocess.run([sys.executable, "-c", SCRIPT, *modules], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}
