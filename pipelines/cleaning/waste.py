"""Something that a storage need not keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from pipelines.cleaning.listing import Listing, Stored


class Kind(StrEnum):
    """What it is."""

    CHECKPOINT = "old checkpoint"
    RUN = "run"
    COPY = "working copy"
    UNLISTED = "unlisted checkpoint"
    CUT_OFF = "cut-off write"
    EXCHANGE = "exchanged rows"
    BEGUN = "begun folder"
    RAY = "files of Ray"
    PROBE = "doctor's file"


@dataclass(frozen=True)
class Waste:
    """A file or folder.

    Attributes:
        kind: what it is.
        path: below the storage.
        why: it may go.
        bytes: that it takes.
        run: path of the run that it is of, which must not be at work; `None` where it is of none.
        is_folder: whether it is one.
    """

    kind: Kind
    path: str
    why: str
    bytes: int
    run: str | None = None
    is_folder: bool = False


def of_file(kind: Kind, file: Stored, why: str, run: str | None = None) -> Waste:
    """A file."""
    return Waste(kind, file.path, why, file.bytes, run)


def of_folder(kind: Kind, listing: Listing, folder: str, why: str, run: str | None = None) -> Waste:
    """A folder with all that is in it."""
    return Waste(kind, folder, why, sum(file.bytes for file in listing.below(folder)), run, is_folder=True)


def within(path: str, folders: Iterable[str]) -> bool:
    """Whether a path lies in one of the folders, or is one."""
    return any(not folder or path == folder or path.startswith(f"{folder}/") for folder in folders)
