"""Small JSON files of our own: with the number of their format, and a digest, so that a damaged or edited one is noticed.

Notes that are written again and again have neither; their keys are looked at as they are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipelines.errors import UserError
from pipelines.files.location import Location

FORMAT, DIGEST = "format", "digest"
RESTORE = "restore it"


def write_document(place: Location, content: dict[str, Any], form: int) -> None:
    """Write it, whole or not at all, in a format of that number."""
    content = content | {FORMAT: form}
    place.write_json(content | {DIGEST: _digest(content)})


def read_document(place: Location, form: int, remedy: str) -> dict[str, Any]:
    """What was written, without format and digest; those of version 0.1 have no digest.

    Args:
        place: of the file.
        form: number of the format that is read.
        remedy: what to do about one that cannot be read.

    Raises:
        UserError: for a file that is cut short, damaged, edited, or of another format.
    """
    with damage_in_words(place, remedy):
        content = dict(json.loads(place.read_bytes()))
        digest = content.pop(DIGEST, None)
        found = content.get(FORMAT)
        if found != form:
            raise UserError(f"{place} has format {found!r}, this version reads {form}; {remedy}")
        if digest is not None and digest != _digest(content):
            raise UserError(f"{place} was edited or is damaged: its digest is not that of its content; {remedy}")
        del content[FORMAT]
        return content


def read_note(place: Location, **kinds: type) -> dict[str, Any]:
    """What a note holds, which has these keys and values of these kinds.

    Raises:
        UserError: for a file that is missing, cut short or damaged, or lacks one.
    """
    with damage_in_words(place, RESTORE):
        return checked_note(place.read_json(), **kinds)


def checked_note(note: Any, **kinds: type) -> dict[str, Any]:
    """The note, if it has these keys and values of these kinds.

    Raises:
        KeyError: for one that it lacks.
        TypeError: for another kind.
    """
    if not isinstance(note, dict):
        raise TypeError(f"it holds {note!r}, and no keys")
    if odd := next((key for key, kind in kinds.items() if not isinstance(note[key], kind)), None):
        raise TypeError(f"its {odd} is {note[odd]!r}")
    return note


@contextmanager
def damage_in_words(place: Location, remedy: str) -> Iterator[None]:
    """Say of a file what a block finds wrong with it.

    Raises:
        UserError: for a file or values that are missing, a folder in its place, values of another type or out of range.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{place} is missing; {remedy}") from error
    except OSError as error:
        if place.is_local and place.is_dir():
            raise UserError(f"{place} is a folder, where a file is to be; {remedy}") from error
        raise
    except KeyError as error:
        raise UserError(f"{place} is damaged, or no such file of ours: it has no {error}; {remedy}") from error
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        said = str(error).split("\n", maxsplit=1)[0]
        raise UserError(f"{place} is cut short or damaged, or no such file of ours ({said}); {remedy}") from error


def _digest(content: dict[str, Any]) -> str:
    plain = json.loads(json.dumps(content))  # as it is read back: tuples are lists, keys are text
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]
