"""One shard of an ingest: its samples are read, checked and written in a task of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import pyarrow as pa
from PIL import Image, UnidentifiedImageError

from pipelines.datasets.encoded_image import identify
from pipelines.datasets.shard_files import SCHEMA, Shard, write_shard
from pipelines.files.location import Location
from pipelines.files.storage_errors import is_of_remote, is_of_storage
from pipelines.ingest.left_out import Unreadable
from pipelines.ingest.sources.source import Listing, Sample, Source
from pipelines.ingest.stored_form import StoredForm

ADDRESS = re.compile(r"<[\w.]+ object at 0x[0-9a-f]+>")  # by which PIL calls bytes in memory
PROBED = 16  # images whose size is looked at
SHARD_BYTES = 128 << 20  # of decoded images; a task holds five times as much while it writes a shard
ENCODED_BYTES = 1 << 30  # of images that are stored as they come; a task holds four times as much


@dataclass(frozen=True)
class ShardPlan:
    """Samples of one shard: all of one split, with consecutive ids."""

    split: str
    index: int
    first_id: int
    samples: list[Sample]


@dataclass(frozen=True)
class Written:
    """What became of a part.

    Attributes:
        split: that it is of.
        index: of the part in its split.
        shard: `None` without a readable image.
        labels: of its rows, -1 unknown.
        bad: path and reason of what could not be read.
        dark: 16-bit pictures that only use 12 bits, and are nearly black therefore.
    """

    split: str
    index: int
    shard: Shard | None
    labels: list[int]
    bad: list[Unreadable]
    dark: int = 0


@dataclass(frozen=True)
class PartWriter:
    """Writes parts of a source.

    Attributes:
        source: where the images are.
        classes: names of the classes.
        location: of the data set.
        form: in which images are stored.
    """

    source: Source
    classes: list[str]
    location: Location
    form: StoredForm

    def write(self, part: ShardPlan, images: Sequence[bytes | Exception | None] | None = None) -> Written:
        """Read every image of the part whole, and write those that can be.

        Args:
            part: of the source.
            images: of its samples, where they have been read, or why one could not be; `None` of one that is still to be read.
        """
        rows, bad, dark = [], [], 0
        for offset, sample in enumerate(part.samples):
            try:
                sample.key.encode()
                found = None if images is None else images[offset]
                image, is_dark = self.form.of(self._encoded(sample.key) if found is None else or_raise(found))
            except StorageError:
                raise
            except Exception as error:  # codecs raise what they like; each is one unreadable file
                bad.append(Unreadable(sample.key, reason_of(error)))
                continue
            dark += is_dark
            row = (part.first_id + offset, image, sample.label, part.split, sample.key)
            rows.append(dict(zip(SCHEMA.names, row, strict=True)))
        shard = None
        if rows:
            footer = {"split": part.split, "classes": self.classes, "rows": len(rows)} | self.form.footer
            path = f"{part.split}/part-{part.index:05d}.parquet"
            shard = write_shard(self.location, path, pa.Table.from_pylist(rows, schema=SCHEMA), footer)
        labels = [-1 if row["label"] is None else row["label"] for row in rows]
        return Written(part.split, part.index, shard, labels, bad, dark)

    def _encoded(self, key: str) -> bytes:
        try:
            return self.source.read(key)
        except OSError as error:
            root = self.source.root
            is_remote = (
                root is not None and not root.is_local and is_of_storage(error) and not isinstance(error, FileNotFoundError)
            )
            if is_remote or is_of_remote(error):
                raise StorageError(str(error)) from error
            raise


class UnreadError(Exception):
    """An image could not be read, for the reason that it says."""


class StorageError(OSError):
    """The storage of a source refused, so that nothing is said of the image."""


def or_raise(image: bytes | Exception) -> bytes:
    """The image, or the error in its place."""
    if isinstance(image, Exception):
        raise image
    return image


def reason_of(error: Exception) -> str:
    """Why an image is set aside."""
    if isinstance(error, UnicodeEncodeError):
        return "its name is not UTF-8: rename it"
    if isinstance(error, UnidentifiedImageError | UnreadError):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than --max-pixels allows"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return f"{type(error).__name__}: {ADDRESS.sub('the image', str(error))}"


def most_rows(source: Source, listing: Listing, form: StoredForm, asked: int) -> int:
    """Images of a shard: so many as are asked for, or fewer where a task could hardly hold them."""
    if form.pixels:
        return min(asked, most_decoded_rows(source, listing, form))
    if form.short_side is not None:
        return asked
    mean = _mean_bytes(source, listing, asked)
    return min(asked, max(int(ENCODED_BYTES / mean), 1)) if mean else asked


def _mean_bytes(source: Source, listing: Listing, asked: int) -> float:
    """Of an encoded image: of all that are packed, or of a few of the others; 0 where there are few."""
    if listing.pieces:
        rows = sum(len(piece.rows) for piece in listing.pieces)
        return sum(piece.bytes for piece in listing.pieces) / max(rows, 1)
    if min(len(listing.samples), asked) <= PROBED:
        return 0
    sizes = [len(content) for content in _probed(source, listing)]
    return sum(sizes) / max(len(sizes), 1)


def _probed(source: Source, listing: Listing) -> Iterator[bytes]:
    """A few of the images; those that cannot be read, which the ingest itself will name, are left out."""
    for sample in listing.samples[:: max(len(listing.samples) // PROBED, 1)]:
        with suppress(Exception):
            yield source.read(sample.key)


def most_decoded_rows(source: Source, listing: Listing, form: StoredForm) -> int:
    """Images of a shard that is not too large when they are decoded, judged by a few of them."""
    sizes = []
    for content in _probed(source, listing):
        with suppress(Exception):  # the ingest itself will name it
            sizes.append(3 * form.stored_pixels(identify(content).size))
    return max(SHARD_BYTES * len(sizes) // sum(sizes), 1) if sizes else 1
