"""What the small files of a sample in a tar say of its class: `.cls`, `.json` and `.txt`, or what the user names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipelines.ingest.containers.columns import LABELS
from pipelines.ingest.containers.labels import Value

OF_LABELS = ("cls", "json", "txt")
UNREADABLE, TWO = "samples whose label cannot be read", "samples with several labels"
WORDS = 4  # from which a text is a caption
FEW, OWN = 20, 0.5  # beyond so many samples, texts of which this share differ are captions and no classes


class Note(NamedTuple):
    """A small file of a sample: all after the name that the files share, in small letters, and its content."""

    suffix: str
    content: bytes


class TarLabel(NamedTuple):
    """The value of a label, and whether it is a text that nobody called one."""

    value: Value
    is_guess: bool = False


class _TwoLabelsError(Exception):
    """Files of equal rank say different labels."""


Found = tuple[Value, ...]  # the value that a file has, or nothing


def may_be_label(suffix: str, wanted: str | None) -> bool:
    """Whether a file's suffix is one that labels are read from."""
    return _kind(suffix) in (*OF_LABELS, wanted) or suffix == wanted


def label_of(notes: Sequence[Note], wanted: str | None, own: str) -> TarLabel | str:
    """The label of an image, or the reason why it has none that can be told.

    Args:
        notes: of its sample.
        wanted: suffix of the labels, or field of `.json`; `None` for `.cls`, else a usual field of `.json`, else `.txt`.
        own: what the image's suffix has before its last point; of notes of one kind those that begin so come first, then
            those that begin with nothing.
    """
    try:
        return _label(notes, wanted, own)
    except _TwoLabelsError:
        return TWO
    except (ValueError, KeyError):
        return UNREADABLE


def _label(notes: Sequence[Note], wanted: str | None, own: str) -> TarLabel:
    suffix = wanted or "cls"
    if suffix != "json" and (named := [note for note in notes if suffix in (note.suffix, _kind(note.suffix))]):
        return TarLabel(_first(named, own, _text)[0])
    field = wanted if wanted != "json" else None
    if found := _first(_of_kind(notes, "json"), own, lambda content: _field(content, field)):
        return TarLabel(found[0])
    if wanted is not None:
        raise KeyError(wanted)
    try:
        found = _first(_of_kind(notes, "txt"), own, _text)
    except _TwoLabelsError:  # several captions of an image
        return TarLabel(None)
    return TarLabel(found[0], is_guess=True) if found else TarLabel(None)


def _kind(suffix: str) -> str:
    return suffix.rpartition(".")[2]


def _of_kind(notes: Sequence[Note], kind: str) -> list[Note]:
    return [note for note in notes if _kind(note.suffix) == kind]


def _first(notes: Sequence[Note], own: str, read: Callable[[bytes], Found]) -> Found:
    """What the notes of the first rank that say something say.

    Raises:
        _TwoLabelsError: where they differ.
        ValueError: for one that cannot be read.
    """
    beginnings = [note.suffix.rpartition(".")[0] for note in notes]
    ranks = [0 if own and beginning == own else 1 if not beginning else 2 for beginning in beginnings]
    for rank in range(3):
        said = {found for found in (read(note.content) for note, mine in zip(notes, ranks, strict=True) if mine == rank) if found}
        if len(said) > 1:
            raise _TwoLabelsError
        if said:
            return said.pop()
    return ()


def _text(content: bytes) -> Found:
    return (content.decode("utf-8-sig").strip(),)


def _field(content: bytes, wanted: str | None) -> Found:
    """The value of a field of JSON, or of a usual one; or what is all of its content, where nothing else is wanted.

    Raises:
        ValueError: for what is no JSON, or a value that is no label.
    """
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if isinstance(found, dict):
        names = LABELS if wanted is None else (wanted,)
        name = next((name for name in names if name in found), None)
        if name is None:
            return ()
        found = found[name]
    if found is not None and not isinstance(found, int | float | str):
        raise ValueError("a label is a number or a name")
    str(found).encode()  # half a letter, which JSON may hold, is no text and raises
    return (found,)


def without_captions(labels: Sequence[TarLabel], wanted: str | None) -> tuple[list[Value], list[str]]:
    """The values, and what is to be said: texts of `.txt` that nobody asked for may be captions, and no names of classes."""
    values = [label.value for label in labels]
    if wanted is None and all(value is None for value in values):
        return values, [
            "no sample has a label in .cls, .json or .txt: images have none, unless --label names its suffix or field"
        ]
    texts = [str(label.value) for label in labels if label.is_guess]
    wordy = sum(len(text.split()) >= WORDS for text in texts) > OWN * len(texts)
    if texts and (wordy or (len(texts) > FEW and len(set(texts)) > OWN * len(texts))):
        values = [None if label.is_guess else label.value for label in labels]
        which = "images" if all(value is None for value in values) else "images with no other label"
        return values, [f"the texts of .txt are captions and no classes: {which} have no labels; --label txt takes them"]
    return values, []
