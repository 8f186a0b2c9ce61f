"""Errors that a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from pipelines.secrets import hidden


class UserError(Exception):
    """Wrong input. The message is one sentence, without secrets: which file, key or value, and what to change."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(hidden(message).split("\n")))  # what a library says may have lines


def nearest(word: str, known: Iterable[str], prefix: str = "") -> str:
    """`; nearest: NAME` for an unknown word, or nothing where none is near."""
    names = {name.casefold(): name for name in reversed([*known])}  # capitals are no difference; of two names the first
    near = difflib.get_close_matches(word.casefold(), names, n=1, cutoff=0.5)
    return f"; nearest valid name: {prefix}{names[near[0]]}" if near else ""


class Stopped(KeyboardInterrupt):
    """The user, or who runs the machine, wished the command to stop.

    Args:
        number: of the signal.
        message: what became of the work, and how to go on.

    Attributes:
        bare: whether nobody has said how to go on yet.
    """

    def __init__(self, number: int, message: str | None = None) -> None:
        super().__init__(hidden(message or "interrupted; what was saved is whole"))
        self.number, self.bare = number, message is None
