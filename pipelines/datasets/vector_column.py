"""A column of vectors, however it was written: lists of any kind, or tensors of Arrow and of Ray Data; how long its vectors are.

Tensors are lists with a name: what stores them is read, so that nobody needs to know the name. Free of torch and Ray.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets.parquet_files import STREAMED_BYTES, ParquetFooter
from pipelines.errors import UserError

WHOLE_TYPES = (pa.int8(), pa.uint8(), pa.int16(), pa.uint16())  # quantised vectors; longer integers are tokens or counts
FIRST_ROWS = 1024  # which tell how long vectors are
NULL_OF_FIXED_SIZE = "Expected all lists to be of size"  # what Arrow says of one
NUMBERS = "lists or tensors of float16, float32, float64, or integers of 8 or 16 bits"


def check_vectors(footer: ParquetFooter, column: str) -> None:
    """Refuse a column that holds no vectors.

    Raises:
        UserError: naming the file and the column's type.
    """
    kind = footer.schema.field(column).type
    stored = _stored_type(kind)
    if not _is_list(stored) or not (pa.types.is_floating(stored.value_type) or stored.value_type in WHOLE_TYPES):
        raise UserError(f"column {column!r} of {footer} is {kind}; vectors are {NUMBERS}: set --column")


def as_lists(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of lists: what stores the column."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    stored = _stored_type(column.type)
    lists = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in chunks]
    if _is_view(stored):
        stored = pa.large_list(stored.value_type)
        lists = [chunk.cast(stored) for chunk in lists]
    return lists[0] if len(lists) == 1 else pa.chunked_array(lists, stored).combine_chunks()


def list_lengths(column: pa.Array) -> np.ndarray:
    """Numbers of each list (R,); -1 for null."""
    lengths: np.ndarray = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    return lengths


def dimension(footers: Sequence[ParquetFooter], column: str) -> int:
    """D, from what the footers count; a row that is null or of another length is looked for only where they tell of one.

    Raises:
        UserError: naming the first row that is null or of another length, or two files whose vectors differ in length.
    """
    dim, before = 0, ""
    for footer in footers:
        for group, rows in enumerate(footer.row_groups):
            if rows == 0:
                continue
            dim, before = dim or _first_length(footer, group, column), before or str(footer)
            mine = footer.chunk(group, column).num_values / rows
            if mine != dim or footer.nulls(group, column):
                mine = _common_length(footer, group, column, dim)
            if mine != dim:
                raise UserError(
                    f"column {column!r} has {mine} numbers a row in {footer}, {dim} in {before}; vectors need one length"
                )
    if dim == 0:
        raise UserError(f"column {column!r} has no rows in any file, or only empty vectors; there is nothing to cluster")
    return dim


def _first_length(footer: ParquetFooter, group: int, column: str) -> int:
    """Numbers of most of the first vectors of a row group."""
    stored = _stored_type(footer.schema.field(column).type)
    if pa.types.is_fixed_size_list(stored):
        return int(stored.list_size)
    lengths = list_lengths(as_lists(next(footer.pieces(group, column, FIRST_ROWS))))
    return int(np.bincount(lengths[lengths > 0], minlength=1).argmax())


def _common_length(footer: ParquetFooter, group: int, column: str, dim: int) -> int:
    """Numbers of every vector of a row group, which should be `dim`.

    Raises:
        UserError: naming the first row that is null, or of another length.
    """
    found = _lengths(footer, group, column)
    if (found == found[0]).all() and found[0] >= 0:
        return int(found[0])
    wrong = np.flatnonzero(found != dim)
    start, row = sum(footer.row_groups[:group]), int(wrong[0])
    rows = f"rows {start} to {start + footer.row_groups[group] - 1} of {footer}"
    has = "is null" if found[row] < 0 else f"has {found[row]} numbers where others have {dim}"
    raise UserError(
        f"column {column!r} is null or of another length in some of {rows}: "
        f"row {start + row} of {footer.path}, the first of them, {has}; mend or remove them"
    )


def _lengths(footer: ParquetFooter, group: int, column: str) -> np.ndarray:
    """Numbers of each vector of a row group, -1 for null; to the first null of a fixed size, which Arrow cannot read."""
    found = list[np.ndarray]()
    for rows in (_rows_a_piece(footer, group, column), 1):
        found = []
        try:
            for piece in footer.pieces(group, column, rows):
                found.append(list_lengths(as_lists(piece)))
        except UserError as error:
            if NULL_OF_FIXED_SIZE not in str(error):
                raise
        else:
            return np.concatenate(found)
    return np.concatenate([*found, [-1]])


def _rows_a_piece(footer: ParquetFooter, group: int, column: str) -> int:
    mean = footer.chunk(group, column).num_values / footer.row_groups[group]
    return max(1, int(STREAMED_BYTES / (8 * mean)))


def _stored_type(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return _is_view(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))
