"""Parquet files with a column of vectors, one or a folder of them: what `quorum embed` wrote, or anybody's.

Rows are numbered over the files in the order of their names: that number is a row's place, and its id where the files have none.
Free of torch and Ray, because it runs in Ray Data tasks.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.datasets.id_column import check_ids, plain_ids, repeated_ids
from pipelines.datasets.parquet_files import STREAMED_BYTES, ParquetFooter, find_parquet
from pipelines.datasets.vector_column import DIRECTIONS, RowForm, as_lists, check_vectors, dimension, holds_numbers, number_type
from pipelines.errors import UserError, nearest
from pipelines.files.conversions import of_columns
from pipelines.files.documents import damage_in_words, read_document
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, open_parquet

EMBEDDINGS_FORMAT = 1
EMBEDDINGS_MANIFEST = "_embeddings.json"  # of `quorum embed`; readers of Parquet folders skip names that begin so
WHOLE_BYTES = 256 << 20  # of a row group as float64; a larger one is read in pieces
MOST_NAMES = 12  # of columns, in a sentence
MOST_COMPARED = 1 << 22  # ids; more are not looked through for such as come again


@dataclass(frozen=True)
class VectorFile:
    """One Parquet file: its path below the folder, a digest of its footer, and the rows of each row group."""

    path: str
    digest: str
    row_groups: tuple[int, ...]

    @property
    def rows(self) -> int:
        """Rows of the file."""
        return sum(self.row_groups)


@dataclass(frozen=True)
class RowSpan:
    """Row groups of one file that a task takes together: the span's number, the file's, and the places of its rows."""

    number: int
    shard: int
    groups: range
    start: int
    rows: int


@dataclass(frozen=True)
class EmbeddingFolder:
    """The files and what is read of them.

    Attributes:
        location: the folder.
        column: of the vectors: lists or tensors of float16, float32, float64, or integers of 8 or 16 bits.
        id_column: integer or string ids; `None` where a row's place is its id.
        dim: D.
        shards: the files, by path.
        single: whether one file of the folder was asked for.
        left_out: a sentence about files that are not read, or nothing.
        form: what `read` and `pieces` make of a row.
        finished: whether the files hold rows as their form makes them, so that they are only read.
        copy_of: the files that these are a copy of, whose places its ids are; refusals name rows of those.
    """

    location: Location
    column: str
    id_column: str | None
    dim: int
    shards: list[VectorFile]
    single: bool = False
    left_out: str = field(default="", compare=False)
    form: RowForm = DIRECTIONS
    finished: bool = False
    copy_of: EmbeddingFolder | None = field(default=None, compare=False)

    @property
    def place(self) -> Location:
        """The folder or the one file, as it can be opened again."""
        return self.location / self.shards[0].path if self.single else self.location

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(shard.rows for shard in self.shards)

    @property
    def holds_float64(self) -> bool:
        """Whether the first file with rows stores its vectors in float64."""
        first = next(number for number, shard in enumerate(self.shards) if shard.rows)
        return bool(number_type(self._open(first).schema.field(self.column).type) == pa.float64())

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Place of each file's first row, and the rows of all after them."""
        return np.cumsum([0, *(shard.rows for shard in self.shards)])

    @property
    def fingerprint(self) -> str:
        """Hash over the files' footers, with the columns' names; rows that changed places in a row group may leave it so."""
        content = [self.column, self.id_column, [asdict(shard) for shard in self.shards]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @classmethod
    def open(cls, place: str, column: str = "embedding", id_column: str | None = None) -> EmbeddingFolder:
        """Read and check the footers of a Parquet file, or of every one in a folder and below it.

        Args:
            place: a local path or URI.
            column: of the vectors.
            id_column: of the ids; `None` takes `id` where there is one.

        Raises:
            UserError: for no Parquet file or row, a column that is missing or of another type, vectors that differ in length, ids
                of two kinds, or a row without an id.
        """
        found = find_parquet(place)
        footers = found.footers()
        filled = [footer for footer in footers if footer.metadata.num_rows] or footers  # an empty file's types are often no types
        ids = id_column or ("id" if any("id" in footer.schema.names for footer in filled) else None)
        for footer in filled:
            _check_columns(footer, column, ids)
            check_vectors(footer, column)
        if ids is not None:
            check_ids(filled, ids)
        shards = [VectorFile(footer.path, footer.digest, footer.row_groups) for footer in footers]
        if not found.single:
            _check_whole(found.location, shards)
        return cls(found.location, column, ids, dimension(filled, column), shards, found.single, found.left_out)

    def in_form(self, form: RowForm) -> EmbeddingFolder:
        """The same files, whose rows are read in another form."""
        return replace(self, form=form)

    def row_name(self, place: int) -> str:
        """`row R of FILE` of the row in a place."""
        file = int(np.searchsorted(self.starts, place, side="right")) - 1
        return f"row {place - int(self.starts[file])} of {self.location}/{self.shards[file].path}"

    def refusal(self, place: int) -> UserError:
        """The error for a row that is spoilt: it cannot be read in this form."""
        if self.copy_of is not None:
            return self.copy_of.in_form(self.form).refusal(self._copied_place(place))
        return UserError(f"{self.row_name(place)} {self.form.refusal(self.column, self.dim)}")

    def _copied_place(self, place: int) -> int:
        """Where the row in a place of a copy stands in the files that it is a copy of."""
        shard = int(np.searchsorted(self.starts, place, side="right")) - 1
        ends = np.cumsum(self.shards[shard].row_groups)
        group = int(np.searchsorted(ends, place - self.starts[shard], side="right"))
        return int(self.read_ids(shard, group)[place - self.first(shard, group)].as_py())

    def rows_of(self, column: pa.Array) -> np.ndarray:
        """Rows (R, D) of a list column in this form; NaN for a spoilt one."""
        if self.finished:
            numbers: np.ndarray = column.flatten().to_numpy().reshape(-1, self.dim)
            return numbers
        return self.form.rows(column, self.dim)

    def first(self, shard: int, group: int) -> int:
        """Place of the first row of a row group."""
        return int(self.starts[shard]) + sum(self.shards[shard].row_groups[:group])

    def is_large(self, shard: int, group: int) -> bool:
        """Whether a row group is never held whole."""
        return self.shards[shard].row_groups[group] * self.dim * 8 > WHOLE_BYTES

    @property
    def large_groups(self) -> int:
        """Row groups that are never held whole."""
        return sum(self.is_large(shard, group) for shard, file in enumerate(self.shards) for group in range(len(file.row_groups)))

    def spans(self, least_rows: int) -> list[RowSpan]:
        """All rows in their order, cut between row groups into spans of at least so many rows, but at the end of a file."""
        made, start = list[RowSpan](), 0
        for index, shard in enumerate(self.shards):
            first = rows = 0
            for group, more in enumerate(shard.row_groups):
                rows += more
                if rows >= least_rows or (rows and group + 1 == len(shard.row_groups)):
                    made.append(RowSpan(len(made), index, range(first, group + 1), start, rows))
                    first, start, rows = group + 1, start + rows, 0
        return made

    def read(self, shard: int, group: int, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows (R, D) in this form and places (R,) int64 of some rows of a row group, or all; NaN for a spoilt one."""
        first = self.first(shard, group)
        if self.is_large(shard, group):
            wanted = np.arange(self.shards[shard].row_groups[group]) if rows is None else rows
            vectors = np.empty((len(wanted), self.dim), self.form.dtype)
            self.pick(shard, group, wanted, vectors, np.arange(len(wanted)))
            return vectors, first + wanted
        stored = self.read_stored(shard, group)
        if rows is None:
            return self.rows_of(stored), first + np.arange(len(stored))
        return self.rows_of(stored.take(pa.array(rows))), first + rows

    def pieces(self, shard: int, group: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """As `read` gives all rows of a row group, but those of a long one in pieces of `STREAMED_BYTES` as float64."""
        start = self.first(shard, group)
        for stored in self._stored_pieces(shard, group):
            yield self.rows_of(stored), np.arange(start, start + len(stored))
            start += len(stored)

    def pick(self, shard: int, group: int, rows: np.ndarray, into: np.ndarray, at: np.ndarray) -> None:
        """Put some rows (R,) of a row group, in any order, out of its pieces into rows `at` (R,) of an array."""
        order, start = np.argsort(rows, kind="stable"), 0
        ascending = rows[order]
        for stored in self._stored_pieces(shard, group):
            first, last = np.searchsorted(ascending, (start, start + len(stored))).tolist()
            into[at[order[first:last]]] = self.rows_of(stored.take(pa.array(ascending[first:last] - start)))
            start += len(stored)
            if last == len(rows):
                break

    def read_stored(self, shard: int, group: int) -> pa.Array:
        """The vectors of a row group as lists of the numbers that are stored."""
        return as_lists(self._open(shard).read_row_group(group, columns=[self.column])[self.column])

    def read_ids(self, shard: int, group: int) -> pa.Array:
        """Ids of a row group, int64 or string: the column's, or the rows' places."""
        if self.id_column is None:
            first = self.first(shard, group)
            return pa.array(np.arange(first, first + self.shards[shard].row_groups[group]))
        return plain_ids(self._open(shard).read_row_group(group, columns=[self.id_column])[self.id_column])

    def repeated_ids(self) -> tuple[int, str]:
        """How many different ids several rows have, and the first of them; 0 for more rows than are looked through."""
        if self.id_column is None or self.rows > MOST_COMPARED:
            return 0, ""
        groups = [(shard, group) for shard, file in enumerate(self.shards) for group, rows in enumerate(file.row_groups) if rows]
        return repeated_ids(self.read_ids(*each) for each in groups)

    def remarks(self) -> Iterator[str]:
        """What works, but perhaps not as it was meant: files that are not read, and ids that come again."""
        if self.left_out:
            yield self.left_out
        again, first = self.repeated_ids()
        if again:
            who = f"{again} of the ids {self.id_column!r}, such as {first},"
            yield f"{who} {'belongs' if again == 1 else 'belong'} to several rows; labels come in the order of the rows"

    def _stored_pieces(self, shard: int, group: int) -> Iterator[pa.Array]:
        rows = max(1, STREAMED_BYTES // (8 * self.dim))
        if self.shards[shard].row_groups[group] <= 2 * rows:  # or a short piece would be left
            return iter([self.read_stored(shard, group)])
        return (as_lists(piece) for piece in self._open(shard).pieces(group, self.column, rows))

    def _open(self, shard: int) -> ParquetReader:
        return open_parquet(self.location, self.shards[shard].path, self.shards[shard].digest)


def first_spoilt(rows: np.ndarray, places: np.ndarray) -> int | None:
    """Lowest place of a row with NaN; `None` where every row is whole."""
    bad = places[np.isnan(rows).any(axis=1)]
    return int(bad.min()) if len(bad) else None


class SpoiltRowError(Exception):
    """A row that cannot be read, by its place; within a task, whose own errors would reach the user with a stack."""

    def __init__(self, place: int) -> None:
        self.place = place


def check_rows(rows: np.ndarray, places: np.ndarray) -> None:
    """Refuse rows of which one is spoilt.

    Raises:
        SpoiltRowError: at the first of them.
    """
    if (bad := first_spoilt(rows, places)) is not None:
        raise SpoiltRowError(bad)


def read_manifest(location: Location) -> dict[str, Any]:
    """What `quorum embed` says of the embeddings in a folder.

    Raises:
        UserError: for a manifest that is damaged.
    """
    manifest, again = location / EMBEDDINGS_MANIFEST, "embed the images again, into another folder"
    content = read_document(manifest, EMBEDDINGS_FORMAT, again)
    with damage_in_words(manifest, again):
        return content | {"rows": int(content["rows"])}


def _check_whole(location: Location, files: Sequence[VectorFile]) -> None:
    """Refuse what `quorum embed` began and did not finish."""
    if not (location / EMBEDDINGS_MANIFEST).exists():
        return
    wanted, found = read_manifest(location)["rows"], sum(file.rows for file in files)
    if found != wanted:
        raise UserError(
            f"{location} holds {found} of the {wanted} embeddings that its {EMBEDDINGS_MANIFEST} says; run quorum embed again"
        )


def _check_columns(footer: ParquetFooter, column: str, ids: str | None) -> None:
    """Refuse a file that has not one column of each name."""
    names = footer.schema.names
    for option, name in (("--column", column), ("--id", ids)):
        if name is not None and names.count(name) > 1:
            raise UserError(f"{footer} has {names.count(name)} columns of the name {name!r}; rename all but one")
        if name is not None and name not in names:
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            has = f"it has {', '.join(names[:MOST_NAMES])}{more}"
            apart = name == column and _lie_apart(footer.schema.types)
            what = f"where each number of a vector has one, {of_columns(str(footer))}" if apart else f"set {option}"
            raise UserError(f"{footer} has no column {name!r}{nearest(name, names)}; {has}: {what}")


def _lie_apart(kinds: Sequence[pa.DataType]) -> bool:
    """Whether columns of such types may hold a number of a vector each: several of floats, and none of vectors."""
    return sum(map(pa.types.is_floating, kinds)) > 1 and not any(map(holds_numbers, kinds))
