"""Tables as CSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipelines.files.location import Location


def write_csv(path: Path, rows: Iterable[Sequence[Any]]) -> None:
    """Write rows, of which the first is the header, into a file that is whole or as it was."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    Location.of(path).write_bytes(text.getvalue().encode())
