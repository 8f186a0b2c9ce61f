"""Open Parquet files, each kept for the thread that opened it: a reader of pyarrow that two threads share crashes or hangs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.files.location import Location
from pipelines.files.storage_errors import patiently

MOST_OPEN = 64


class ParquetReader:
    """An open file, whose reads are patient with a busy storage.

    Args:
        place: of the file.
    """

    def __init__(self, place: Location) -> None:
        self._file = patiently(lambda: pq.ParquetFile(place.filesystem.open_input_file(place.path)))
        self.metadata = self._file.metadata

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        return patiently(lambda: self._file.read(columns=list(columns)))

    def read_row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a row group."""
        return patiently(lambda: self._file.read_row_group(group, columns=list(columns)))


def open_parquet(location: Location, path: str, digest: str) -> ParquetReader:
    """This thread's reader of a file in a folder; a digest of its content or footer tells it from one that was overwritten."""
    return _opened(location, path, digest, threading.get_ident())


@functools.lru_cache(maxsize=MOST_OPEN)
def _opened(location: Location, path: str, digest: str, thread: int) -> ParquetReader:
    return ParquetReader(location / path)
