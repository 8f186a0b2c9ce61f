"""One tidy line for long work: what, how far, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tqdm import tqdm

PLAIN_INTERVAL = 10.0  # seconds between lines where the output is no terminal


class Progress:
    """A tqdm bar on a terminal; elsewhere a plain line now and then, so that a log file stays readable."""

    def __init__(self, what: str, total: int, unit: str) -> None:
        self._interactive = interactive = sys.stderr.isatty()
        interval = 0.2 if interactive else PLAIN_INTERVAL
        self._bar = tqdm(
            total=total, desc=what, unit=f" {unit}", unit_scale=total > 10_000, mininterval=interval, maxinterval=60,
            dynamic_ncols=interactive, ascii=None if interactive else " .", file=sys.stderr, leave=True,
            bar_format="{desc}: {percentage:3.0f}% {n_fmt}/{total_fmt}{unit} {rate_fmt} left {remaining} {postfix}"
            + ("" if interactive else "\n"),
        )  # fmt: skip

    def start_at(self, count: int, note: str = "") -> None:
        """Show `count` as done before the clock started: by an earlier run, or while everything was getting ready."""
        self._bar.initial = self._bar.n = self._bar.last_print_n = count
        self._bar.start_t = self._bar.last_print_t = time.time()  # tqdm's clock
        self._bar.set_postfix_str(note, refresh=True)

    def advance(self, by: int, note: str = "") -> None:
        """Count `by` more and show `note` at the end of the line."""
        if by == 0 and not self._interactive:
            return
        if note:
            self._bar.set_postfix_str(note, refresh=False)
        self._bar.update(by)

    def move_to(self, count: int, note: str = "") -> None:
        """Show `count` as done."""
        self.advance(count - int(self._bar.n), note)

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bar.close()


@contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Progress]:
    """A progress line for the block."""
    bar = Progress(what, total, unit)
    try:
        yield bar
    finally:
        bar.close()
