"""Whether a node sees the files of a data set as its manifest has them, and how fast it reads and decodes them."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from shlex import quote

import pyarrow as pa

from pipelines.datasets.encoded_image import open_image
from pipelines.datasets.image_shards import SHARDS_MANIFEST, Dataset
from pipelines.datasets.parquet_files import find_parquet
from pipelines.datasets.shard_files import Shard, read_group
from pipelines.doctor.findings import Finding, Page, fault, fine
from pipelines.doctor.on_node.storage import busy_again, hint, opened, read, with_reason
from pipelines.doctor.refusals import of_storage
from pipelines.doctor.sizes import rate
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.views.decode import decode

CHECK = "data"
MOST_FILES, READERS = 2000, 16  # that are looked at on each node, and how many at a time
READ_BYTES, DECODE_SECONDS = 32 << 20, 0.5
Failure = (OSError, pa.ArrowException)


@dataclass(frozen=True)
class Expected:
    """A data set as this command sees it.

    Attributes:
        folder: its address, which each node opens itself.
        files: that are looked at, below the folder, with their bytes.
        count: files in all.
        digest: of the manifest; empty for a folder of Parquet files.
        foreign: files elsewhere whose images are used in place, with their bytes.
        shard: one to read, with its images; `None` for a folder of vectors.
        known: credentials that this command has.
    """

    folder: str
    files: tuple[tuple[str, int], ...]
    count: int
    digest: str = ""
    foreign: tuple[tuple[str, int], ...] = ()
    shard: Shard | None = None
    known: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, place: str, known: tuple[str, ...] = ()) -> Expected:
        """What the manifest says, or where there is none which Parquet files lie there.

        Raises:
            UserError: for what is neither a data set nor Parquet files.
            OSError: for a storage that refuses.
        """
        folder = opened(place)
        with_reason(folder, lambda: folder.filesystem.get_file_info(folder.path))  # a storage that refuses says so at once
        if (folder / SHARDS_MANIFEST).exists():
            return _of_images(Dataset.described(place), folder, place, known)
        try:
            found = find_parquet(place)
        except UserError as error:
            make = f"quorum ingest SOURCE --to {quote(str(place))}"
            raise UserError(f"{place} is no data set: it has no {SHARDS_MANIFEST} and no Parquet file; run {make}") from error
        _ = ParquetReader(found.location / found.paths[0]).schema  # a file of another kind is no data
        paths = found.paths[:: -(-len(found.paths) // MOST_FILES)]
        files = tuple((path, (found.location / path).size()) for path in paths)
        return cls(str(found.location), files, len(found.paths), known=known)


def _of_images(dataset: Dataset, folder: Location, place: str, known: tuple[str, ...]) -> Expected:
    shards = [shard for split in dataset.splits.values() for shard in split.shards]
    looked = shards[:: max(-(-len(shards) // MOST_FILES), 1)]
    files = tuple((shard.path, shard.bytes) for shard in looked)
    foreign = tuple(dict.fromkeys((shard.images.place, shard.images.size) for shard in looked if shard.images is not None))
    digest = hashlib.sha256(read(folder / SHARDS_MANIFEST)).hexdigest()
    return Expected(place, files, len(shards), digest, foreign, next(iter(shards), None), known)


def look_at_data(expected: Expected) -> list[Finding]:
    """Compare what this node sees with that, and read some of it."""
    lacks = hint(expected.known) if "://" in expected.folder else ""
    try:
        folder = opened(expected.folder)
        if (wrong := _other(expected, folder)) is not None:
            return [wrong]
        missing = _missing(expected, folder)
        if missing:
            many = len(expected.files) + len(expected.foreign)
            said = f"it does not see {len(missing)} of {many} files of {expected.folder} as they should be, first {missing[0]}"
            return [fault(CHECK, said, "mount one folder on all nodes, copy them again, or give a URI", Page.SHARDS)]
        return [fine(CHECK, _rates(expected, folder))]
    except UserError as error:
        if isinstance(error.__cause__, Failure):
            return [of_storage(CHECK, f"{expected.folder} cannot be read", error, lacks)]
        return [fault(CHECK, str(error), "", Page.DATA)]
    except Failure as error:
        return [of_storage(CHECK, f"{expected.folder} cannot be read", error, lacks)]


def _other(expected: Expected, folder: Location) -> Finding | None:
    """A fault where another data set, or none, lies in that place."""
    if not expected.digest:
        return None
    try:
        content = read(folder / SHARDS_MANIFEST)
    except FileNotFoundError:
        said = f"it sees no data set at {expected.folder}"
        return fault(CHECK, said, "mount that folder on all nodes, or give a URI", Page.SHARDS)
    if hashlib.sha256(content).hexdigest() == expected.digest:
        return None
    said = f"what it sees at {expected.folder} is another data set, or another state of it, than this command sees"
    return fault(CHECK, said, "copy it again, or mount one folder on all nodes", Page.SHARDS)


def _missing(expected: Expected, folder: Location) -> list[str]:
    """Files that are not there, or have another size."""

    def is_wrong(item: tuple[Location, int]) -> str:
        place, size = item
        info = busy_again(lambda: place.filesystem.get_file_info(place.path))
        return "" if info.size == size else str(place)

    mine = ((folder / path, size) for path, size in expected.files)
    theirs = ((Location.of(place), size) for place, size in expected.foreign)
    with ThreadPoolExecutor(READERS) as pool:
        return [name for name in pool.map(is_wrong, itertools.chain(mine, theirs)) if name]


def _rates(expected: Expected, folder: Location) -> str:
    """How fast a file is read, and where it has images how fast they are decoded."""
    looked = (
        f"{expected.count:,} files" if len(expected.files) == expected.count else f"{len(expected.files):,} of {expected.count:,}"
    )
    if not expected.files:
        return looked
    place = folder / expected.files[0][0]
    start = time.perf_counter()
    with place.filesystem.open_input_file(place.path) as file:
        count = len(file.read(READ_BYTES))
    said = f"{looked}, read {rate(count, time.perf_counter() - start)}"
    if expected.shard is None or not expected.shard.rows:
        return said
    decoded, start = 0, time.perf_counter()
    for image in _images(folder, expected.shard):
        decode(open_image(image), image).load()
        decoded += 1
        if (seconds := time.perf_counter() - start) > DECODE_SECONDS:
            break
    return f"{said}, decode {decoded / seconds:,.0f} images/s a core" if decoded else said


def _images(folder: Location, shard: Shard) -> Iterator[bytes]:
    """Encoded images of the first row group, again and again; damaged ones were quarantined by the ingest."""
    images = [image for image in read_group(folder, shard, 0, ["image"])["image"].to_pylist() if image]
    return itertools.cycle(images)
