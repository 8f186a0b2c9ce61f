"""What a source of images is: it lists its samples cheaply and reads each as encoded bytes.

A source is a small picklable object; `ingest` lists it once on the driver and reads it in parallel in tasks.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

from pipelines.datasets.encoded_image import IMAGE_SUFFIXES
from pipelines.errors import UserError
from pipelines.files.conversions import conversion
from pipelines.files.location import Location

ARCHIVES = (".zip", ".7z", ".rar", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tar.zst")
ARRAYS = (".npy", ".npz", ".h5", ".hdf5", ".mat", ".pt", ".pth", ".pkl", ".pickle", ".mdb", ".beton", ".rec")
MOST_LOOKED_AT = 1000  # files that tell why there is no image


class Sample(NamedTuple):
    """One image of a source: a key that the source reads it by, its label (`None` unknown) and its split."""

    key: str
    label: int | None
    split: str


class LeftOut(NamedTuple):
    """What lies in a source and is not taken: its path, and the reason in words that follow a number ("3 of suffix .txt")."""

    path: str
    reason: str


class Piece(NamedTuple):
    """Consecutive rows of a file that are best read together, and fit the memory of a task; and the bytes of their images."""

    name: str
    rows: range
    bytes: int = 0


@dataclass(frozen=True)
class Listing:
    """What a source holds.

    Attributes:
        samples: in a stable order.
        classes: their names.
        left_out: what lies there and is not taken.
        notes: what the user should know, in sentences.
        pieces: of files that are packed, whose samples have keys `name:row`.
        val_is_test: whether its test split is what the source calls val.
    """

    samples: list[Sample]
    classes: list[str]
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pieces: list[Piece] = field(default_factory=list)
    val_is_test: bool = False


def opening() -> str:
    """A name for what a source keeps of its files: by another name, as of a source that is opened later, they are read anew."""
    return uuid.uuid4().hex


class Source(Protocol):
    """What `ingest` needs of a source."""

    @property
    def root(self) -> Location | None:
        """Where it lies; `None` for one that every node has."""

    def listing(self) -> Listing:
        """Every sample, in an order that depends on the source's content only."""

    def read(self, key: str) -> bytes:
        """Encoded image of one sample."""


@runtime_checkable
class PackedSource(Source, Protocol):
    """A source whose images lie in files that are read from their start, or in pieces of many images."""

    def read_rows(self, name: str, rows: Sequence[int]) -> Iterator[bytes | Exception]:
        """Encoded images of ascending rows of one file; an error in place of one that cannot be read."""


def require_samples(samples: list[Sample], root: Location, left_out: Sequence[LeftOut] = ()) -> list[Sample]:
    """The samples, of which there must be one.

    Raises:
        UserError: when there is none; with what was left out, by reason.
    """
    if samples:
        return samples
    how = next(filter(None, (as_images(root / one.path) for one in left_out[:MOST_LOOKED_AT])), "")
    what = (f": {counted(left_out)}" if left_out else "") + (f"; {how}" if how else "")
    if root.is_file():
        raise UserError(f"{root} holds no image: it is empty, or nothing in it is one{what}")
    raise UserError(f"{root} holds no image files ({', '.join(sorted(IMAGE_SUFFIXES)[:6])}, ...){what}")


def as_images(file: Location) -> str:
    """How the images in a file that is not read become a source, by its name; nothing where that says nothing."""
    name = file.name.lower()
    if name.endswith((".arrow", ".feather")):
        return f"Arrow is not read, and Parquet is: {conversion(file)}"
    if name.endswith(ARCHIVES):
        return f"unpack {file}: of archives only tars are read, plain or gzipped"
    if name.endswith(ARRAYS) or ".tfrecord" in name:
        return f"write the images in {file} as files, PNG in a folder for each class, or as bytes in a column of Parquet"
    return ""


def counted(left_out: Sequence[LeftOut], most: int = 8) -> str:
    """`left out: 3 of suffix .txt, 2 broken links`: how many by reason, the most frequent ones first."""
    counts: dict[str, int] = {}
    for one in left_out:
        counts[one.reason] = counts.get(one.reason, 0) + 1
    by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    words = [f"{count:,} {reason}" for reason, count in by_count[:most]]
    rest = sum(count for _, count in by_count[most:])
    return f"left out: {', '.join(words)}" + (f", {rest:,} for {len(by_count) - most} other reasons" if rest else "")
