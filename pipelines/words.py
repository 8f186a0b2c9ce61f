"""Sentences for the user: numbers of things in words, and how sentences are told."""

from __future__ import annotations

import re
import sys

from pipelines.secrets import hidden


def counted(number: int, noun: str) -> str:
    """`1 file`, `1,200 files`, `2 classes`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number:,} {noun}{'es' if noun.endswith('s') else 's'}"


def of_pattern(place: str) -> str:
    """What is to be said of a place that is not there, where it is a pattern, which shells and other tools expand."""
    return "; * and {0..9} are not expanded: give the folder that the files lie in" if re.search(r"[*?]|{.*}", place) else ""


def tell(sentence: object) -> None:
    """Print what a user is to know on standard error, without the secrets of an address in it."""
    print(hidden(str(sentence)), file=sys.stderr, flush=True)
