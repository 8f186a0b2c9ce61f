"""Rows that change their order: whoever has some writes each destination's together, and each destination reads its own.

A file holds a slice for each destination, a small Arrow table; where each slice is goes to the driver. So nobody holds more than
the rows of one destination, whatever their number, and any file system will do. Free of torch and Ray.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from pipelines.files.location import Location

SLICE = ("file", "destination", "start", "size")  # of an index: number of the file, bytes


def write_slices(folder: Location, file: int, rows: pa.Table, destinations: np.ndarray) -> np.ndarray:
    """Write a file of rows, each destination's in their order; returns its part of the index, (slices, 4) int64.

    Args:
        folder: of the files.
        file: its number; a task that runs again writes the same one.
        rows: a table.
        destinations: (R,) number of each row's.
    """
    order = np.argsort(destinations, kind="stable")
    found, firsts = np.unique(destinations[order], return_index=True)
    ordered, index = rows.take(pa.array(order)), []
    with (folder / _name(file)).written() as sink:
        done = 0
        for destination, first, last in zip(found.tolist(), firsts.tolist(), [*firsts[1:].tolist(), len(order)], strict=True):
            content = _packed(ordered.slice(first, last - first))
            sink.write(content)
            index.append((file, destination, done, content.size))
            done += content.size
    return np.array(index, np.int64).reshape(-1, len(SLICE))


def read_slices(folder: Location, index: np.ndarray) -> pa.Table:
    """The rows of some slices, in the order of the index."""
    tables = [
        pa.ipc.open_stream((folder / _name(file)).read_part(start, size)).read_all() for file, _, start, size in index.tolist()
    ]
    return pa.concat_tables(tables).combine_chunks()


class SliceIndex:
    """Where the slices of each destination are.

    Args:
        parts: of the index, in any order.
    """

    def __init__(self, parts: Sequence[np.ndarray]) -> None:
        whole = np.concatenate([np.empty((0, len(SLICE)), np.int64), *parts])
        self._slices = whole[np.lexsort((whole[:, 2], whole[:, 0], whole[:, 1]))]

    def of(self, destination: int) -> np.ndarray:
        """(slices, 4) those of one destination, by file."""
        first, last = np.searchsorted(self._slices[:, 1], (destination, destination + 1))
        return self._slices[first:last]

    @property
    def largest(self) -> int:
        """Bytes of the destination that has most."""
        return int(np.bincount(self._slices[:, 1], weights=self._slices[:, 3]).max())


def _packed(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    return sink.getvalue()


def _name(file: int) -> str:
    return f"part-{file:08d}.arrows"


def batches(rows: Iterator[pa.Table], most: int) -> Iterator[pa.Table]:
    """Tables joined until they hold so many bytes."""
    held, size = list[pa.Table](), 0
    for table in rows:
        held.append(table)
        size += table.nbytes
        if size >= most:
            yield pa.concat_tables(held)
            held, size = [], 0
    if held:
        yield pa.concat_tables(held)
