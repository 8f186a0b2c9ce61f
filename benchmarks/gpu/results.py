"""The file of results, written anew after each row: a machine that is taken away leaves what was measured until then."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.report import command, machine

Row = Mapping[str, str | float]


class Results:
    """Rows by part, with the machine and the card.

    Args:
        file: to write.
    """

    def __init__(self, file: Path) -> None:
        self.file, self.began = file, time.monotonic()
        card = torch.cuda.get_device_properties(0)
        self.about = machine() | {
            "card": card.name,
            "card_gib": round(card.total_memory / 2**30),
            "cuda": str(torch.version.cuda),
        }
        self.parts: dict[str, list[Row]] = {}

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.began

    def add(self, part: str, row: Row) -> None:
        """Take a row, tell it, and write the file."""
        self.parts.setdefault(part, []).append(row)
        print(f"[{self.seconds:4.0f} s] {part}: " + "  ".join(f"{key} {_shown(value)}" for key, value in row.items()), flush=True)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(json.dumps({"machine": self.about, "command": command(), "parts": self.parts}, indent=2) + "\n")
        fresh.replace(self.file)

    def show(self) -> None:
        """All rows as tables."""
        console = Console(width=130, highlight=False)
        for part, rows in self.parts.items():
            table = Table(*rows[0], title=f"{part}, {self.about['card']}", title_justify="left")
            for row in rows:
                table.add_row(*map(_shown, row.values()))
            console.print(table)
        console.print(", ".join(f"{key} {value}" for key, value in self.about.items()))
        console.print(command(), soft_wrap=True)


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:,.4g}"
