"""Open Parquet files, each kept for the thread that opened it: a reader of pyarrow that two threads share crashes or hangs."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import is_of_storage, patiently

Result = TypeVar("Result")
MOST_OPEN = 64


class ParquetReader:
    """An open file, whose reads are patient with a busy storage, and look at the checksums of its pages where it has some.

    Args:
        place: of the file.

    Raises:
        UserError: by each method, for a file that is cut short or damaged.
    """

    def __init__(self, place: Location) -> None:
        self._place = place
        self._file: pq.ParquetFile = self._whole(
            lambda: pq.ParquetFile(place.filesystem.open_input_file(place.path), page_checksum_verification=True)
        )
        self.metadata = self._file.metadata

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Some columns of all rows."""
        return self._whole(lambda: self._file.read(columns=list(columns)))

    def read_row_group(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Some columns of a row group."""
        return self._whole(lambda: self._file.read_row_group(group, columns=list(columns)))

    def _whole(self, read: Callable[[], Result]) -> Result:
        try:
            return patiently(read)
        except (OSError, pa.ArrowException, ValueError, KeyError) as error:
            if isinstance(error, OSError) and is_of_storage(error):
                raise
            said = str(error).split("\n", maxsplit=1)[0]
            raise UserError(f"{self._place} is damaged ({said}); restore it, or make it again") from error


def open_parquet(location: Location, path: str, digest: str) -> ParquetReader:
    """This thread's reader of a file in a folder; a digest of its content or footer tells it from one that was overwritten."""
    return _opened(location, path, digest, threading.get_ident())


@functools.lru_cache(maxsize=MOST_OPEN)
def _opened(location: Location, path: str, digest: str, thread: int) -> ParquetReader:
    return ParquetReader(location / path)
