"""Open Parquet files, one for each thread at a time: a reader of pyarrow that two threads share crashes or hangs."""

from __future__ import annotations

import functools
import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.sound_footer import sound_footer
from pipelines.files.storage_errors import is_of_storage, patiently

Result = TypeVar("Result")
MOST_OPEN = 64
SUFFIXES = (".parquet", ".pq", ".parq")  # in small letters or large


def is_parquet(name: str) -> bool:
    """Whether a file's name ends as one of Parquet does."""
    return name.lower().endswith(SUFFIXES)


def read_footer(place: Location) -> tuple[pq.FileMetaData, str]:
    """A file's metadata and a digest of it; it holds offsets, sizes and statistics of every column, so other rows change it.

    Raises:
        OSError, pyarrow.ArrowException: for what is no whole Parquet file.
    """

    def read() -> tuple[pq.FileMetaData, str]:
        """The same, asked once."""
        with place.filesystem.open_input_file(place.path) as file:
            try:
                footer = sound_footer(pq.ParquetFile(file).metadata)
            except UnicodeDecodeError as error:  # in the name of a column
                raise pa.ArrowInvalid(str(error)) from error
            size = footer.serialized_size
            file.seek(file.size() - 8 - size)
            return footer, hashlib.sha256(file.read(size)).hexdigest()[:16]

    return patiently(read)


def layout_digest(footer: pq.FileMetaData) -> str:
    """A digest of where rows lie in a file, their bytes, and the least and greatest of each column, as a footer has them.

    Other rows change it, unless they are as long and have no statistics; another version of the library that reads them does not.
    """
    chunks = (footer.row_group(group).column(column) for group, column in np.ndindex(footer.num_row_groups, footer.num_columns))
    told = hashlib.sha256(str(footer.num_rows).encode())
    for chunk in chunks:
        told.update(repr((chunk.data_page_offset, chunk.total_compressed_size, chunk.num_values)).encode())
        if chunk.is_stats_set and chunk.statistics.has_min_max:
            told.update(repr((chunk.statistics.min_raw, chunk.statistics.max_raw)).encode())
    return told.hexdigest()[:16]


BUFFER_BYTES = 1 << 20  # of a file that is read in pieces
ENCRYPTED = "is encrypted; write it anew without encryption"


def first_line(error: Exception) -> str:
    """What pyarrow says of a file, without its sources' places."""
    return str(error).split("\n", maxsplit=1)[0]


def is_encrypted(error: Exception) -> bool:
    """Whether pyarrow refuses a file because it has no key of it."""
    return getattr(error, "errno", None) is None and bool(re.match("Could not read encrypted|Cannot decrypt", str(error)))


class ParquetReader:
    """An open file, whose reads are patient with a busy storage, and look at the checksums of its pages where it has some.

    Args:
        place: of the file.

    Raises:
        UserError: by each method, for a file that is cut short or damaged.
    """

    def __init__(self, place: Location) -> None:
        self._place = place
        self._idle: deque[pq.ParquetFile] = deque()
        self.metadata = self._whole(lambda file: sound_footer(file.metadata))

    @property
    def digest(self) -> str:
        """Of the footer, as `read_footer` has it."""
        return self._told(lambda: read_footer(self._place)[1])

    @functools.cached_property
    def layout(self) -> str:
        """Of the footer, as `layout_digest` has it."""
        return layout_digest(self.metadata)

    @property
    def schema(self) -> pa.Schema:
        """Of the table."""
        return self.metadata.schema.to_arrow_schema()

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Some columns of all rows, or all."""
        return self._whole(lambda file: file.read(columns=None if columns is None else list(columns)))

    def read_row_group(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Some columns of a row group, or all."""
        return self._whole(lambda file: file.read_row_group(group, columns=None if columns is None else list(columns)))

    def pieces(self, group: int, column: str, rows: int) -> Iterator[pa.Array]:
        """A column of a row group in pieces of at most so many rows; neither its bytes nor its rows are ever held whole."""
        return (batch.column(batch.schema.get_field_index(column)) for batch in self.batches(group, rows, [column]))

    def batches(self, group: int, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """Some columns of a row group, or all, in pieces as `pieces` has them."""
        left: Iterator[pa.RecordBatch] | None = None
        done, wanted = 0, None if columns is None else list(columns)

        def following() -> pa.RecordBatch | None:
            """The next piece, (at most `rows`,); `None` after the last."""
            nonlocal left
            if left is None:  # at the start, and after an error that passed
                file = self._open(buffer_size=BUFFER_BYTES, pre_buffer=False)
                left = islice(file.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False), done, None)
            try:
                return next(left, None)
            except BaseException:
                left = None
                raise

        while (piece := self._told(following)) is not None:
            done += 1
            yield piece

    def _open(self, **options: Any) -> pq.ParquetFile:
        file = self._place.filesystem.open_input_file(self._place.path)
        return pq.ParquetFile(file, page_checksum_verification=True, **options)

    def _with_idle(self, read: Callable[[pq.ParquetFile], Result]) -> Result:
        """Read with a file that no other thread uses; after an error it is not used again."""
        try:
            file = self._idle.pop()
        except IndexError:
            file = self._open()
        result = read(file)
        self._idle.append(file)
        return result

    def _whole(self, read: Callable[[pq.ParquetFile], Result]) -> Result:
        return self._told(lambda: self._with_idle(read))

    def _told(self, read: Callable[[], Result]) -> Result:
        """What `read` returns, asked patiently; damage in a sentence."""
        try:
            return patiently(read)
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            if isinstance(error, OSError) and is_of_storage(error):
                raise
            damaged = f"is damaged ({first_line(error)}); restore it, or make it again"
            raise UserError(f"{self._place} {ENCRYPTED if is_encrypted(error) else damaged}") from error


@functools.lru_cache(maxsize=MOST_OPEN)
def open_parquet(location: Location, path: str, digest: str) -> ParquetReader:
    """The reader of a file in a folder; a digest of its content or footer tells it from one that was overwritten."""
    return ParquetReader(location / path)
