"""Which Parquet files a place holds, and what their footers say; for a file of another kind, how to make Parquet of it.

Free of torch and Ray, because it runs in Ray Data tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines.errors import UserError
from pipelines.files.conversions import conversion, of_data_first
from pipelines.files.location import CUT_OFF, Location
from pipelines.files.parquet_reader import ENCRYPTED, first_line, is_encrypted, is_parquet, open_parquet, read_footer
from pipelines.files.tree import BROKEN_LINK, EMPTY, LOOP, NO_FILE, TOO_OFTEN, Found, files_below, listed_at_once
from pipelines.words import counted, of_pattern

READERS = 16  # threads that read footers
MAGIC = b"PAR1"  # what a file of Parquet begins with
STREAMED_BYTES = 32 << 20  # of a piece, where a row group is read in pieces
OUR_OWN = {"_embeddings.json"}
MOST_NAMED = 3
IN_WORDS = {  # faults of what a folder holds
    BROKEN_LINK: "a link to nothing", NO_FILE: "no regular file", TOO_OFTEN: "one of many links to the same folder",
}  # fmt: skip
WANTED = "give a Parquet file or a folder of them, for example what quorum embed wrote"


@dataclass(frozen=True)
class ParquetFooter:
    """A file by its folder and its path below it, its metadata and a digest of that.

    The metadata holds offsets, sizes and statistics of every column, so other rows change the digest.
    """

    location: Location
    path: str
    metadata: pq.FileMetaData
    digest: str

    def __str__(self) -> str:
        return f"{self.location}/{self.path}"

    @cached_property
    def schema(self) -> pa.Schema:
        """Of the file's columns."""
        return self.metadata.schema.to_arrow_schema()

    @cached_property
    def row_groups(self) -> tuple[int, ...]:
        """Rows of each row group."""
        return tuple(self.metadata.row_group(group).num_rows for group in range(self.metadata.num_row_groups))

    def chunk(self, group: int, column: str) -> pq.ColumnChunkMetaData:
        """What is said of a column's numbers or strings in a row group; by its place, for names may hold dots."""
        fields = list(self.schema)[: self.schema.get_field_index(column)]
        return self.metadata.row_group(group).column(sum(_leaves(field.type) for field in fields))

    def nulls(self, group: int, column: str) -> int | None:
        """Nulls of a column in a row group; `None` where the file does not say."""
        said = self.chunk(group, column).statistics
        return said.null_count if said is not None and said.has_null_count else None

    def pieces(self, group: int, column: str, rows: int) -> Iterator[pa.Array]:
        """A column of a row group, in pieces of at most so many rows."""
        return open_parquet(self.location, self.path, self.digest).pieces(group, column, rows)


@dataclass(frozen=True)
class FoundFiles:
    """Parquet files below a folder.

    Attributes:
        location: the folder.
        paths: below it, in order.
        single: whether it is one file that was asked for.
        left_out: a sentence about files that are not read, or nothing.
    """

    location: Location
    paths: list[str]
    single: bool = False
    left_out: str = ""

    def footers(self) -> list[ParquetFooter]:
        """Those of all files.

        Raises:
            UserError: for a file that is no Parquet, or cut short.
        """
        with ThreadPoolExecutor(READERS) as pool:
            return list(pool.map(lambda path: _footer(self.location, path), self.paths))


def find_parquet(place: str) -> FoundFiles:
    """The Parquet files in a folder and below it, or the one file that `place` is.

    Raises:
        UserError: where there is none; says how to make Parquet of a file of a kind that is known.
    """
    location = Location.of(place)
    kind = location.filesystem.get_file_info(location.path).type
    if kind == pafs.FileType.File:
        if how := conversion(location):
            raise UserError(f"{location} is no Parquet file; {how}")
        return FoundFiles(location.parent, [location.name], single=True)
    if kind != pafs.FileType.Directory:
        raise UserError(f"{place} is no folder and no file; {WANTED}{of_pattern(place)}")
    found = files_below(location) if location.is_local else listed_at_once(location)
    _refuse_missing(location, [file for file in found if file.fault])
    below = sorted(file.path for file in found if file.fault not in (LOOP, EMPTY))
    whole = sorted(file.path for file in found if not (file.fault or is_hidden(file.path)))
    paths = [path for path in whole if is_parquet(path)] or _of_other_names(location, whole)
    rest = sorted({*below} - {*paths} - OUR_OWN)
    if not paths:
        conversions = filter(None, (conversion(location / path) for path in of_data_first(rest)))
        raise UserError(f"{place} holds no .parquet file{_held(rest)}; {next(conversions, WANTED)}")
    return FoundFiles(location, paths, left_out=f"{location} also holds{_kinds(rest)}; not read" if rest else "")


def _of_other_names(location: Location, paths: Sequence[str]) -> list[str]:
    """Those that begin as Parquet, of files whose names do not say what they are: Hive's and Athena's, or `a.parquet.gz`."""
    unsaid = [path for path in paths if ".parquet." in path.lower() or not PurePosixPath(path).suffix]
    unsaid = [path for path in unsaid if not CUT_OFF.fullmatch(path)]
    with ThreadPoolExecutor(READERS) as pool:
        begins = pool.map(lambda path: _begins_as_parquet(location / path), unsaid)
        return [path for path, begun in zip(unsaid, begins, strict=True) if begun]


def _begins_as_parquet(file: Location) -> bool:
    try:
        return file.read_part(0, len(MAGIC)) == MAGIC
    except (OSError, UnicodeError):  # among files of which others are meant, perhaps
        return False


def _refuse_missing(location: Location, faulty: Sequence[Found]) -> None:
    """Refuse what may hold rows and cannot be read: Parquet files, folders, and links to nothing that may be to folders."""
    for file in faulty:
        if is_hidden(file.path) or file.fault in (LOOP, EMPTY):
            continue
        is_file = file.fault == NO_FILE or (file.fault == BROKEN_LINK and bool(PurePosixPath(file.path).suffix))
        if is_parquet(file.path) or not is_file:
            said = IN_WORDS.get(file.fault) or _unreadable(file.fault)
            raise UserError(f"{location}/{file.path} is {said}; restore or remove it")


def _unreadable(fault: str) -> str:
    """Of a folder, with the reason that stands behind its fault."""
    return f"a folder that cannot be read ({fault.partition('(')[2]}"


def is_hidden(path: str) -> bool:
    """As Spark and pyarrow see it: `_a=1` is a partition, `_a` is hidden."""
    return any(part.startswith(".") or (part.startswith("_") and "=" not in part) for part in path.split("/"))


def _kinds(paths: Sequence[str]) -> str:
    """` 2 files: a.csv, .b.parquet`."""
    named = ", ".join(paths[:MOST_NAMED]) + (", ..." if len(paths) > MOST_NAMED else "")
    hidden = sum(is_hidden(path) for path in paths)
    suffixes = Counter(PurePosixPath(path).suffix.lower() or "no suffix" for path in paths if not is_hidden(path))
    kinds = [f"{count} {suffix}" for suffix, count in suffixes.most_common(MOST_NAMED)] + ([f"{hidden} hidden"] if hidden else [])
    return f" {counted(len(paths), 'file')} ({', '.join(kinds)}): {named}"


def _held(paths: Sequence[str]) -> str:
    return f", but{_kinds(paths)}" if paths else ""


def _leaves(kind: pa.DataType) -> int:
    """Columns that Parquet stores for one of this type."""
    if isinstance(kind, pa.BaseExtensionType):
        return _leaves(kind.storage_type)
    return sum(_leaves(kind.field(index).type) for index in range(kind.num_fields)) if pa.types.is_nested(kind) else 1


def _footer(location: Location, path: str) -> ParquetFooter:
    try:
        return ParquetFooter(location, path, *read_footer(Location(location.filesystem, f"{location.path}/{path}")))
    except (pa.ArrowException, OSError) as error:
        cut = f"is no whole Parquet file ({first_line(error)}); restore or remove it"
        is_one = is_parquet(path) or _begins_as_parquet(location / path)
        what = ENCRYPTED if is_encrypted(error) else cut if is_one else f"is no Parquet file; {WANTED}"
        raise UserError(f"{location}/{path} {what}") from error
