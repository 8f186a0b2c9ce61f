"""One tidy line for long work: what, how far, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

PLAIN_INTERVAL = 10.0  # seconds between lines where the output is no terminal
BAR_WIDTH = 24


class Progress:
    """A line with a bar on a terminal; elsewhere a plain line now and then, so that a log file stays readable.

    Args:
        what: is being done.
        total: of the units that it takes.
        unit: in the plural.
    """

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._count = self._first = 0
        self._note, self._last_said = "", (-1, "")
        self._began = self._said = time.monotonic()
        self._live = self._open_terminal() if sys.stderr.isatty() else None

    def start_at(self, count: int, note: str = "") -> None:
        """Show `count` as done before the clock started: by an earlier run, or while everything was getting ready."""
        self._count = self._first = count
        self._began, self._note = time.monotonic(), note
        self._say()

    def advance(self, by: int, note: str = "") -> None:
        """Count `by` more and show `note` at the end of the line."""
        self._count += by
        self._note = note or self._note
        if by and time.monotonic() - self._said > PLAIN_INTERVAL:
            self._say()

    def move_to(self, count: int, note: str = "") -> None:
        """Show `count` as done."""
        self.advance(count - self._count, note)

    def close(self) -> None:
        """Leave the last state on the screen."""
        if self._live:
            self._live.stop()
        self._say()

    def _say(self) -> None:
        state = self._count, self._note  # a rate goes on falling where nothing moves
        if self._live is None and state != self._last_said:
            self._said, self._last_said = time.monotonic(), state
            print(f"{self._what}: {self._done()} {self._pace()}", file=sys.stderr, flush=True)

    def _done(self) -> str:
        percent = 100 * self._count / self._total if self._total else 100.0
        return f"{percent:3.0f}% {self._count:,}/{self._total:,} {self._unit}"

    def _pace(self) -> str:
        moved = self._count - self._first
        rate = moved / max(time.monotonic() - self._began, 1e-9)
        shown, left = "?", "?"
        if moved > 0:
            shown = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2f}"
            left = str(timedelta(seconds=round(max(self._total - self._count, 0) / rate)))
        return ", ".join(part for part in (f"{shown} {self._unit}/s", f"left {left}", self._note) if part)

    def _open_terminal(self) -> Live:
        # Imported where it is shown: the command line answers --help without it.
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        live = Live(console=console, get_renderable=self._bar, refresh_per_second=5)
        live.start()
        console.show_cursor()  # which a killed program would leave hidden
        return live

    def _bar(self) -> Table:
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(self._total, 1), completed=self._count, width=BAR_WIDTH)
        line.add_row(f"{self._what}:", bar, self._done(), self._pace())
        return line


def in_bytes(count: float) -> str:
    """A number of bytes in words: `3.4 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} bytes"
        count /= 1000
    return f"{count:.3g} TB" if count < 999.5 else f"{count:,.0f} TB"


@contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Progress]:
    """A progress line for the block."""
    bar = Progress(what, total, unit)
    try:
        yield bar
    finally:
        bar.close()
