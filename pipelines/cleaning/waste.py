"""Something that a storage need not keep."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pipelines.cleaning.listing import Listing, Stored, stored
from pipelines.files.location import Location


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
        files: that it is, or holds.
        changed: when the last of them changed, in seconds since 1970.
        run: path of the run or sweep that it is of, which must not be at work; `None` where it is of none.
        is_folder: whether it is one.
    """

    kind: Kind
    path: str
    why: str
    bytes: int
    files: int
    changed: float
    run: str | None = None
    is_folder: bool = False


def of_file(kind: Kind, file: Stored, why: str, run: str | None = None) -> Waste:
    """A file."""
    return Waste(kind, file.path, why, file.bytes, 1, file.changed, run)


def of_folder(kind: Kind, listing: Listing, folder: str, why: str, run: str | None = None) -> Waste:
    """A folder with all that is in it."""
    files = listing.below(folder)
    newest = max((file.changed for file in files), default=0.0)
    return Waste(kind, folder, why, sum(file.bytes for file in files), len(files), newest, run, is_folder=True)


def is_as_planned(waste: Waste, root: Location) -> bool | None:
    """Whether nothing has come, gone or changed there since it was looked at; `None` where it has gone altogether."""
    place = root / waste.path
    if not waste.is_folder:
        files = [file] if (file := stored(place, waste.path)) else []
    elif place.is_dir():
        listing = Listing(place)
        if listing.links or listing.unread:
            return False
        files = listing.files
    else:
        return None
    if not files and waste.files:
        return None
    newest = max((file.changed for file in files), default=0.0)
    # A storage may tell parts of a second in one answer and leave them out of another.
    return (len(files), sum(file.bytes for file in files), int(newest)) == (waste.files, waste.bytes, int(waste.changed))
