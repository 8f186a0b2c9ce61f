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
    now = sys.argv[:1]
    if now == ["-m"]:  # the package is imported before its `__main__`
        return _module(sys.orig_argv) == "quorum"
    return now != [] and os.path.basename(now[0]) == "quorum"


def _module(words: list[str]) -> str:
    """Which module a Python with these words runs: `-m quorum`, `-mquorum`, `-Im quorum`."""
    for word, following in zip(words[1:], [*words[2:], ""], strict=True):
        before, found, rest = word.partition("m")
        if found and before.startswith("-") and not set(before[1:]) & set("-WX"):  # the two letters that take the rest of a word
            return rest or following
    return ""


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _handle() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` and a script's `&` wish it
            signal.signal(number, _end)


if _is_command():  # at once: between this module's import and a call of it a signal may come
    _handle()
