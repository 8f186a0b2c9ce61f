"""A column of ids: which types, one kind over all files, none missing, and how many come again. Free of torch and Ray."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets.parquet_files import READERS, ParquetFooter
from pipelines.errors import UserError

INTEGERS, STRINGS = "integers", "strings"
PIECE_ROWS = 1 << 16
UUID_BYTES, GROUPS = 16, (8, 12, 16, 20)  # of a UUID, and where its text of hexadecimal digits has dashes
LARGE = 1 << 63  # the first integer that int64 does not hold


def check_ids(footers: Sequence[ParquetFooter], column: str) -> None:
    """Refuse ids of a type that is none, of two kinds, missing, or too large for int64, as which they are kept.

    Raises:
        UserError: naming the file and the type, two files, or the row.
    """
    kinds = [_kind(footer, column) for footer in footers]
    for kind, footer in zip(kinds, footers, strict=True):
        if kind != kinds[0]:
            both = f"{kinds[0]} in {footers[0]} and {kind} in {footer}"
            raise UserError(f"ids {column!r} are {both}; write one kind, or name another column: --id")
    groups = [(footer, group) for footer in footers for group, rows in enumerate(footer.row_groups) if rows]
    doubtful = [each for each in groups if _may_lack(*each, column) or _may_be_large(*each, column)]
    with ThreadPoolExecutor(READERS) as pool:
        for fault in pool.map(lambda each: _first_fault(each[0], each[1], column), doubtful):
            if fault is not None:
                raise UserError(fault)


def plain_ids(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Ids as int64 or string, whatever integers, strings or UUIDs they were, or a dictionary of them."""
    if _is_uuid(column.type):
        return _texts_of_uuids(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    plain = column.cast(pa.int64() if _kind_of(column.type) == INTEGERS else pa.string())
    return plain.combine_chunks() if isinstance(plain, pa.ChunkedArray) else plain


def _texts_of_uuids(ids: pa.Array) -> pa.Array:
    """UUIDs as text, as every tool prints them."""
    if len(ids) == 0:
        return pa.array([], pa.string())
    stored = ids.storage.buffers()[1].slice(ids.offset * UUID_BYTES, len(ids) * UUID_BYTES)
    digits = np.frombuffer(stored.to_pybytes().hex().encode(), "S1").reshape(len(ids), -1)
    texts = np.insert(digits, GROUPS, b"-", axis=1)
    return pa.array(texts.view(f"S{texts.shape[1]}").ravel().astype(str))


def repeated_ids(ids: Iterable[pa.Array]) -> tuple[int, str]:
    """How many different ids come more than once, and the first of them."""
    counts = pc.value_counts(pa.chunked_array(list(ids)))
    again = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    return len(again), repr(again[0].as_py()) if len(again) else ""


def _kind(footer: ParquetFooter, column: str) -> str:
    kind = footer.schema.field(column).type
    found = _kind_of(kind)
    if found is None:
        raise UserError(
            f"column {column!r} of {footer} is {kind}; ids are integers, strings or UUIDs: write it as text, or set --id"
        )
    return found


def _kind_of(kind: pa.DataType) -> str | None:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_integer(plain):
        return INTEGERS
    is_string = pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)
    return STRINGS if is_string or _is_uuid(kind) else None


def _is_uuid(kind: pa.DataType) -> bool:
    return str(kind) == "extension<arrow.uuid>"


def _may_lack(footer: ParquetFooter, group: int, column: str) -> bool:
    return bool(footer.schema.field(column).nullable and footer.nulls(group, column) != 0)


def _may_be_large(footer: ParquetFooter, group: int, column: str) -> bool:
    """Whether a row group may have ids beyond int64: of unsigned ones, where the file does not say that it has none."""
    kind, said = footer.schema.field(column).type, footer.chunk(group, column).statistics
    if (kind.value_type if pa.types.is_dictionary(kind) else kind) != pa.uint64():
        return False
    return said is None or not said.has_min_max or not 0 <= said.max < LARGE


def _first_fault(footer: ParquetFooter, group: int, column: str) -> str | None:
    """What is wrong with the first id of a row group that is null or too large, if there is one."""
    row = sum(footer.row_groups[:group])
    for piece in footer.pieces(group, column, PIECE_ROWS):
        if piece.null_count:
            row += int(pc.index(piece.is_null(), True).as_py())
            return f"row {row} of {footer} has no id: its {column!r} is null; give it one, or set --id"
        plain = piece.dictionary_decode() if isinstance(piece, pa.DictionaryArray) else piece
        if plain.type == pa.uint64() and (pc.max(plain).as_py() or 0) >= LARGE:
            row += int(pc.index(pc.greater_equal(plain, pa.scalar(LARGE, pa.uint64())), True).as_py())
            return f"row {row} of {footer} has an id of 2^63 or more, which int64 does not hold; write {column!r} as text"
        row += len(piece)
    return None
