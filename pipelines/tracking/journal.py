"""A local file of JSON lines, and a mark of how many of them have been delivered."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pipelines.tracking.old_figures import by_present_names

JOURNAL = "journal.jsonl"


class Journal:
    """Entries in the order they came; those after the mark still have to be delivered.

    A process may die at any moment: a last line that was cut short is dropped when the journal is opened again, and the mark is
    replaced, never rewritten.

    Args:
        folder: where the files are; made if need be.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path, self.mark = folder / JOURNAL, folder / "journal.sent"
        self._drop_unfinished_line()
        self._delivered = int(self.mark.read_text() or 0) if self.mark.exists() else 0
        self.waiting = self.history()[self._delivered :]
        self._file = self.path.open("a")

    def append(self, entry: dict[str, Any]) -> None:
        """Write an entry and let it wait for delivery."""
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self.waiting.append(entry)

    def delivered(self, count: int) -> None:
        """Move the mark over the oldest `count` waiting entries."""
        del self.waiting[:count]
        self._delivered += count
        fresh = self.mark.with_suffix(".partial")
        fresh.write_text(str(self._delivered))
        os.replace(fresh, self.mark)

    def history(self) -> list[dict[str, Any]]:
        """Every entry, delivered or not."""
        return read_journal(self.path.parent)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _drop_unfinished_line(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(self.path, len(whole))


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Every whole entry of the journal in a folder, which another process may be writing; none where there is no journal.

    Figures that version 0.1 wrote come by their present names.
    """
    path = folder / JOURNAL
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return [
        entry | {"values": by_present_names(entry["values"])} if entry.get("kind") == "metrics" else entry for entry in entries
    ]
