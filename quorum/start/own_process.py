"""A process that is the `quorum` command ends at a wish to stop at once and without a word, until the command itself handles it.

Python raises KeyboardInterrupt instead, wherever it is: in the first half second amid imports, with a traceback. Nothing is at
stake then.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def _is_command() -> bool:
    """Whether Python was started as `quorum ...` or `python -m quorum ...`."""
    started, now = sys.orig_argv, sys.argv[:1]
    if now == ["-m"]:  # the package is imported before its `__main__`
        return started[started.index("-m") + 1 :][:1] == ["quorum"] if "-m" in started else False
    return now != [] and os.path.basename(now[0]) == "quorum"


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _handle() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and a script's `&` wish it
            signal.signal(number, _end)


if _is_command():  # at once: between this module's import and a call of it a signal may come
    _handle()
