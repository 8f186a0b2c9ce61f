"""A column of vectors, however it was written: lists of any kind, or tensors of Arrow and of Ray Data; what its rows become.

Tensors are lists with a name: what stores them is read, so that nobody needs to know the name. Free of torch and Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import DTypeLike

from algos.kmeans.metric import Metric
from pipelines.datasets.parquet_files import STREAMED_BYTES, ParquetFooter
from pipelines.errors import UserError

WHOLE_TYPES = (pa.int8(), pa.uint8(), pa.int16(), pa.uint16())  # quantised vectors; longer integers are tokens or counts
FIRST_ROWS = 1024  # which tell how long vectors are
NULL_OF_FIXED_SIZE = "Expected all lists to be of size"  # what Arrow says of one
FARTHEST = 1e12  # of a number of a shifted and scaled row; float32 loses the distances of one that is farther out

SMALLEST = 1e-15  # scale of Euclidean rows, and one over the largest
ROUNDING = 1e-15  # of a mean's length, below which the spread around it is nothing but rounding
NUMBERS = "lists or tensors of float16, float32, float64, or integers of 8 or 16 bits"


@dataclass(frozen=True)
class RowForm:
    """What the numbers of a row become: its direction, or (x - origin) / scale, which keeps float32 precise far from 0.

    Attributes:
        metric: by which rows are compared; cosine makes unit rows of them.
        origin: D numbers that are subtracted; none for rows as they are stored.
        scale: divides the difference.
        dtype: of the rows.
    """

    metric: Metric = "cosine"
    origin: tuple[float, ...] = ()
    scale: float = 1.0
    dtype: str = "float32"

    @classmethod
    def around(cls, rows: np.ndarray) -> RowForm:
        """The Euclidean form for rows such as these (R, D): their mean, and the root mean square around it.

        Raises:
            UserError: for a root mean square whose square does not fit float32.
        """
        rows = rows.astype(np.float64, copy=False)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = rows.mean(axis=0)
            spread = float(np.sqrt(np.square(rows - mean).sum(axis=1).mean()))
            spread = spread or float(np.abs(rows - mean).max(initial=0.0))  # whose squares float64 does not hold either
            if spread < ROUNDING * np.linalg.norm(mean):  # rows that are all one
                spread = 0.0
        if spread and not SMALLEST < spread < 1 / SMALLEST:
            raise UserError(
                f"the vectors spread by {spread:.3g} around their mean, whose square float32 does not hold; bring them to about 1"
            )
        return cls("euclidean", tuple(mean.tolist()), spread or 1.0)

    @property
    def unit(self) -> float:
        """What similarities of rows of this form are multiplied by, in units of the data."""
        return self.scale**2

    def rows(self, column: pa.Array, dim: int) -> np.ndarray:
        """Rows of a list column, (R, D); NaN for one that has no such form."""
        lengths = list_lengths(column)
        whole = np.flatnonzero(lengths == dim)
        values = (column if len(whole) == len(column) else column.take(pa.array(whole))).flatten()
        numbers = values.to_numpy(zero_copy_only=False).reshape(-1, dim)
        numbers = numbers.astype(np.float64 if numbers.dtype == np.float64 else np.float32, copy=False)
        rows = np.full((len(column), dim), np.nan, self.dtype)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            rows[whole] = directions(numbers) if self.metric == "cosine" else self._shifted(numbers)
        return rows

    def restore(self, centers: np.ndarray) -> np.ndarray:
        """Centers (K, D) among such rows in units of the data, float64; unit centers stay as they are."""
        return centers if self.metric == "cosine" else centers.astype(np.float64) * self.scale + self._origin(np.float64)

    def take(self, centers: np.ndarray) -> np.ndarray:
        """Centers (K, D) in units of the data among such rows, float32; unit centers stay as they are."""
        if self.metric == "cosine":
            return centers
        moved: np.ndarray = ((centers.astype(np.float64) - self._origin(np.float64)) / self.scale).astype(np.float32)
        return moved

    def refusal(self, column: str, dim: int) -> str:
        """What is wrong with a row that has no such form, as the end of a sentence."""
        if self.metric == "cosine":
            return (
                f"has no direction: its {column!r} is null, all zeros, not {dim} numbers long, or holds NaN or infinity; "
                "mend or remove it"
            )
        return (
            f"has no distance to others: its {column!r} is null, not {dim} numbers long, or holds NaN, infinity or a number "
            f"more than {FARTHEST:.0e} times as far out as rows are; mend or remove it"
        )

    def _shifted(self, numbers: np.ndarray) -> np.ndarray:
        moved: np.ndarray = (numbers - self._origin(numbers.dtype)) / self.scale
        farthest = np.maximum(moved.max(axis=1), -moved.min(axis=1))
        moved[~(farthest < (FARTHEST if self.origin else np.inf))] = np.nan
        return moved

    def _origin(self, dtype: DTypeLike) -> np.ndarray:
        """The origin, in `dtype` where that holds it: a difference of two such numbers is rounded once."""
        origin = np.array(self.origin or 0.0)
        rounded = origin.astype(dtype)
        return rounded if (rounded == origin).all() else origin


DIRECTIONS = RowForm()


def check_vectors(footer: ParquetFooter, column: str) -> None:
    """Refuse a column that holds no vectors.

    Raises:
        UserError: naming the file and the column's type.
    """
    kind = footer.schema.field(column).type
    stored = _stored_type(kind)
    if not _is_list(stored) or not (pa.types.is_floating(stored.value_type) or stored.value_type in WHOLE_TYPES):
        raise UserError(
            f"column {column!r} of {footer} is {kind}; vectors are {NUMBERS}: set --column, or write it as lists of float32"
        )


def holds_numbers(kind: pa.DataType) -> bool:
    """Whether columns of that type are lists or tensors of numbers, vectors or not."""
    stored = _stored_type(kind)
    return _is_list(stored) and bool(pa.types.is_floating(stored.value_type) or pa.types.is_integer(stored.value_type))


def as_lists(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array of lists: what stores the column."""
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    stored = _stored_type(column.type)
    lists = [chunk.storage if isinstance(chunk, pa.ExtensionArray) else chunk for chunk in chunks]
    if _is_view(stored):
        stored = pa.large_list(stored.value_type)
        lists = [chunk.cast(stored) for chunk in lists]
    return lists[0] if len(lists) == 1 else pa.chunked_array(lists, stored).combine_chunks()


def directions(numbers: np.ndarray) -> np.ndarray:
    """Rows divided by their length, NaN for one of zeros."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        scaled = numbers / np.abs(numbers).max(axis=1, keepdims=True)  # or the squares of float32 may overflow
        unit: np.ndarray = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit


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


def number_type(kind: pa.DataType) -> pa.DataType:
    """Of the numbers in a column of vectors of that type."""
    return _stored_type(kind).value_type


def _stored_type(kind: pa.DataType) -> pa.DataType:
    return kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind


def _is_list(kind: pa.DataType) -> bool:
    return _is_view(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind))
