"""Which of two near-duplicates is kept: the one that comes first in an order of all rows. Free of torch and Ray."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError, nearest
from pipelines.files.parquet_reader import ParquetReader, open_parquet

Keep = Literal["nearest", "farthest", "first"]
KEEPS: tuple[Keep, ...] = get_args(Keep)
RANK, PLACE = "rank", "place"
ORDERED = "numbers, texts, dates or times"
ORDERED_TYPES = (  # of Arrow; a column of nulls alone has no type, and any order
    pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean, pa.types.is_string,
    pa.types.is_large_string, pa.types.is_string_view, pa.types.is_date, pa.types.is_time, pa.types.is_timestamp,
    pa.types.is_duration, pa.types.is_null,
)  # fmt: skip


@dataclass(frozen=True)
class KeepOrder:
    """The order: by similarity to the center, by the rows' places alone, or by a column of theirs; equal rows by their places.

    Attributes:
        keep: what comes first.
        column: of the vectors' files, instead.
        ascending: whether its least value comes first, and not its greatest; rows without a value come last.
    """

    keep: Keep = "farthest"
    column: str | None = None
    ascending: bool = False

    def ranks(self, similarity: pa.Array, vectors: EmbeddingFolder, shard: int, group: int, start: int) -> pa.Array:
        """What the rows are ordered by, of consecutive rows of a row group from its row `start` on."""
        if self.column is None:
            return pa.nulls(len(similarity), pa.int8()) if self.keep == "first" else similarity
        file = vectors.shards[shard]
        stored = open_parquet(vectors.location, file.path, file.digest).read_row_group(group, [self.column])[self.column]
        return _plain(stored.slice(start, len(similarity)))

    def sorted(self, rows: pa.Table, *before: str) -> pa.Table:
        """Rows with a `rank` and a `place` in this order, those of each value of the columns `before` together."""
        up = self.ascending if self.column is not None else self.keep == "farthest"
        keys = [*((name, "ascending") for name in before), (RANK, "ascending" if up else "descending"), (PLACE, "ascending")]
        return rows.take(pc.sort_indices(rows, keys))

    def __str__(self) -> str:
        if self.column is None:
            return {"first": "first in the data"}.get(
                self.keep, f"{self.keep} to its center" if self.keep == "nearest" else "farthest from its center"
            )
        return f"{'least' if self.ascending else 'greatest'} {self.column}"


def keep_order(keep: str | None, column: str | None, *, ascending: bool, clustered: bool) -> KeepOrder:
    """The order that the options ask for.

    Raises:
        UserError: for options that do not go together, or need clusters where there are none.
    """
    known = next((one for one in KEEPS if one == keep), None)
    if known != keep:
        raise UserError(f"--keep is {keep!r}{nearest(str(keep), KEEPS)}; give {', '.join(KEEPS)}")
    if keep is not None and column is not None:
        raise UserError(f"--keep {keep} and --keep-by {column} are two orders; give one")
    if ascending and column is None:
        raise UserError("--ascending is the order of a column; name it: --keep-by COLUMN")
    if keep in ("nearest", "farthest") and not clustered:
        raise UserError(f"--keep {keep} is by the distance to a center, and embeddings have none; give --keep first or --keep-by")
    return KeepOrder(known or ("farthest" if clustered else "first"), column, ascending)


def check_column(vectors: EmbeddingFolder, column: str) -> None:
    """Refuse a column that is missing in a file, has no order, or is of different types.

    Raises:
        UserError: naming the file and the type.
    """
    kinds: dict[pa.DataType, str] = {}
    for path, reader in _readers(vectors):
        names = reader.schema.names
        if column not in names:
            raise UserError(f"{vectors.location}/{path} has no column {column!r}{nearest(column, names)}; set --keep-by")
        kind = reader.schema.field(column).type
        plain = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_such(plain) for is_such in ORDERED_TYPES):
            raise UserError(
                f"column {column!r} of {vectors.location}/{path} is {kind}, which has no order; --keep-by takes {ORDERED}"
            )
        kinds.setdefault(plain, path)
    if len(kinds) > 1:
        (one, first), (other, second), *_ = kinds.items()
        raise UserError(
            f"column {column!r} is {one} in {first} and {other} in {second}; write one type, or choose another --keep-by"
        )


def _readers(vectors: EmbeddingFolder) -> Iterator[tuple[str, ParquetReader]]:
    return ((file.path, open_parquet(vectors.location, file.path, file.digest)) for file in vectors.shards if file.rows)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """Values of one array, not of a dictionary; float16 and views of texts have no order in Arrow, NaN is no value."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    plain = plain.cast(pa.float32()) if pa.types.is_float16(plain.type) else plain
    plain = plain.cast(pa.large_string()) if pa.types.is_string_view(plain.type) else plain
    whole = plain.combine_chunks() if isinstance(plain, pa.ChunkedArray) else plain
    return pc.if_else(pc.is_nan(whole), pa.scalar(None, whole.type), whole) if pa.types.is_floating(whole.type) else whole
