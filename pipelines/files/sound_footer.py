"""Footers of Parquet files whose parts contradict each other, told before somebody looks at them.

pyarrow ends the whole process where a column's part of a footer is asked for and cannot be right; a reader of the column raises.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

LARGER_THAN_ALL = 1 << 62  # bytes


class _SealedError(Exception):
    """Data were asked for, so all that comes before them is right."""


class _SealedFile:
    """A file that nothing is read of."""

    closed = False

    def __init__(self) -> None:
        self._place = 0

    def seekable(self) -> bool:
        """As pyarrow asks."""
        return True

    def size(self) -> int:
        """So large that every offset lies in it."""
        return LARGER_THAN_ALL

    def tell(self) -> int:
        """Where it stands."""
        return self._place

    def seek(self, place: int, whence: int = 0) -> int:
        """Go somewhere."""
        self._place = place + (0, self._place, LARGER_THAN_ALL)[whence]
        return self._place

    def read(self, size: int = -1) -> bytes:
        """Refuse."""
        raise _SealedError

    def flush(self) -> None:
        """As pyarrow asks."""

    def close(self) -> None:
        """As pyarrow asks."""


def sound_footer(footer: pq.FileMetaData) -> pq.FileMetaData:
    """The same footer, of which every row group's columns may be asked for; that takes 0.05 to 0.2 ms for each.

    Raises:
        OSError, pyarrow.ArrowException: for one whose parts contradict each other.
    """
    file = pq.ParquetFile(pa.PythonFile(_SealedFile(), mode="r"), metadata=footer, pre_buffer=False)
    for group in range(footer.num_row_groups):
        for column in range(footer.num_columns):
            try:
                file.reader.read_row_group(group, column_indices=[column], use_threads=False)
            except _SealedError:
                _check_column(footer, group, column)
    rows = sum(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    if rows != footer.num_rows:
        raise pa.ArrowInvalid(f"its row groups have {rows} rows, and by its own word it has {footer.num_rows}")
    return footer


def _check_column(footer: pq.FileMetaData, group: int, column: int) -> None:
    """Refuse a column's part whose type is not the schema's, that has fewer values than rows, or whose name is no text."""
    chunk, known = footer.row_group(group).column(column), footer.schema.column(column).physical_type
    if chunk.physical_type != known:
        raise pa.ArrowInvalid(f"row group {group} has {chunk.physical_type} where the schema has {known}") from None
    if chunk.num_values < footer.row_group(group).num_rows:  # nulls and empty lists count as values
        raise pa.ArrowInvalid(
            f"row group {group} has {chunk.num_values} values in a column, which are fewer than its rows"
        ) from None
    try:
        str(chunk.path_in_schema)
    except UnicodeDecodeError as error:
        raise pa.ArrowInvalid(f"the name of a column of row group {group} is no text: {error.reason}") from error
