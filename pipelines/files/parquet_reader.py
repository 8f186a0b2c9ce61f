"""Open Parquet files, each kept for the thread that opened it: a reader of pyarrow that two threads share crashes or hangs."""

from __future__ import annotations

import functools
import threading

import pyarrow.parquet as pq

from pipelines.files.location import Location

MOST_OPEN = 64


def open_parquet(location: Location, path: str, digest: str) -> pq.ParquetFile:
    """This thread's reader of a file in a folder; a digest of its content or footer tells it from one that was overwritten."""
    return _opened(location, path, digest, threading.get_ident())


@functools.lru_cache(maxsize=MOST_OPEN)
def _opened(location: Location, path: str, digest: str, thread: int) -> pq.ParquetFile:
    return pq.ParquetFile(location.filesystem.open_input_file(f"{location.path}/{path}"))
