"""A folder of Parquet files with a column of vectors: what `quorum embed` wrote, or anybody's.

Rows are numbered over the files in the order of their names: that number is a row's place, and its id where the files have none.
Free of torch and Ray, because it runs in Ray Data tasks.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipelines.errors import UserError, nearest
from pipelines.files.documents import damage_in_words, read_document
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, open_parquet
from pipelines.files.storage_errors import patiently

READERS = 16  # threads that read footers
EMBEDDINGS_FORMAT = 1
EMBEDDINGS_MANIFEST = "_embeddings.json"  # of `quorum embed`; readers of Parquet folders skip names that begin so


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
class EmbeddingFolder:
    """The files and what is read of them.

    Attributes:
        location: the folder.
        column: of the vectors: lists of float16, float32 or float64.
        id_column: int64 or string ids; `None` where a row's place is its id.
        dim: D.
        shards: the files, by path.
    """

    location: Location
    column: str
    id_column: str | None
    dim: int
    shards: list[VectorFile]

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(shard.rows for shard in self.shards)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """Place of each file's first row, and the rows of all after them."""
        return np.cumsum([0, *(shard.rows for shard in self.shards)])

    @property
    def fingerprint(self) -> str:
        """Hash over the files' footers, with the columns' names: equal fingerprints mean equal rows in equal places."""
        content = [self.column, self.id_column, [asdict(shard) for shard in self.shards]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    @classmethod
    def open(cls, place: str, column: str = "embedding", id_column: str | None = None) -> EmbeddingFolder:
        """Read and check the footers of every Parquet file in a folder and below it.

        Args:
            place: a local path or URI.
            column: of the vectors.
            id_column: of the ids; `None` takes `id` where there is one.

        Raises:
            UserError: for no Parquet file or row, a column that is missing or of another type, or vectors that differ in length.
        """
        location = Location.of(place)
        paths = _parquet_paths(location, place)
        with ThreadPoolExecutor(READERS) as pool:
            footers = list(pool.map(lambda path: _footer(location, path), paths))
        names = footers[0][0].schema.to_arrow_schema().names
        ids = id_column or ("id" if "id" in names else None)
        for path, (footer, _) in zip(paths, footers, strict=True):
            _check_columns(footer.schema.to_arrow_schema(), f"{location}/{path}", column, ids)
        shards = [
            VectorFile(path, digest, tuple(footer.row_group(g).num_rows for g in range(footer.num_row_groups)))
            for path, (footer, digest) in zip(paths, footers, strict=True)
        ]
        _check_whole(location, shards)
        dim = _dimension([(f"{location}/{path}", footer) for path, (footer, _) in zip(paths, footers, strict=True)], column)
        return cls(location, column, ids, dim, shards)

    def row_name(self, place: int) -> str:
        """`row R of FILE` of the row in a place."""
        file = int(np.searchsorted(self.starts, place, side="right")) - 1
        return f"row {place - int(self.starts[file])} of {self.location}/{self.shards[file].path}"

    def refusal(self, place: int) -> UserError:
        """The error for a row that gave no direction."""
        return UserError(
            f"{self.row_name(place)} has no direction: its {self.column!r} is null, all zeros, not {self.dim} numbers long, "
            "or holds NaN or infinity; mend or remove it"
        )

    def read(self, shard: int, group: int, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (R, D) float32 and places (R,) int64 of some rows of a row group, or all; NaN without a direction."""
        vectors, first = self.read_stored(shard, group)
        if rows is None:
            return unit_rows(vectors, self.dim), first + np.arange(len(vectors))
        return unit_rows(vectors.take(pa.array(rows)), self.dim), first + rows

    def read_stored(self, shard: int, group: int) -> tuple[pa.Array, int]:
        """The vectors of a row group as they are stored, and the place of the first."""
        column = self._open(shard).read_row_group(group, columns=[self.column])[self.column]
        return column.combine_chunks(), int(self.starts[shard]) + sum(self.shards[shard].row_groups[:group])

    def read_ids(self, shard: int, group: int) -> pa.Array:
        """Ids of a row group: the column's, or the rows' places."""
        if self.id_column is None:
            first = int(self.starts[shard]) + sum(self.shards[shard].row_groups[:group])
            return pa.array(np.arange(first, first + self.shards[shard].row_groups[group]))
        ids = self._open(shard).read_row_group(group, columns=[self.id_column])[self.id_column].combine_chunks()
        return ids.cast(pa.int64()) if pa.types.is_integer(ids.type) else ids.cast(pa.string())

    def _open(self, shard: int) -> ParquetReader:
        return open_parquet(self.location, self.shards[shard].path, self.shards[shard].digest)


def unit_rows(column: pa.Array, dim: int) -> np.ndarray:
    """Rows of a list column divided by their length, (R, D) float32; NaN for a row that has no direction."""
    lengths = pc.list_value_length(column).fill_null(-1).to_numpy(zero_copy_only=False)
    whole = np.flatnonzero(lengths == dim)
    values = (column if len(whole) == len(column) else column.take(pa.array(whole))).flatten()
    numbers = values.to_numpy(zero_copy_only=False).reshape(-1, dim)
    numbers = numbers.astype(np.float64 if numbers.dtype == np.float64 else np.float32, copy=False)
    rows = np.full((len(column), dim), np.nan, np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = numbers / np.abs(numbers).max(axis=1, keepdims=True)  # or the squares of float32 may overflow
        rows[whole] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return rows


def first_without_direction(rows: np.ndarray, places: np.ndarray) -> int | None:
    """Lowest place of a row with NaN; `None` where every row is whole."""
    bad = places[np.isnan(rows).any(axis=1)]
    return int(bad.min()) if len(bad) else None


def _parquet_paths(location: Location, place: str) -> list[str]:
    filesystem = location.filesystem
    if filesystem.get_file_info(location.path).type != pafs.FileType.Directory:
        raise UserError(f"{place} is no folder; give a folder of Parquet files, for example what quorum embed wrote")
    found = filesystem.get_file_info(pafs.FileSelector(location.path, recursive=True))
    below = [info.path[len(location.path) :].lstrip("/") for info in found if info.type == pafs.FileType.File]
    paths = sorted(path for path in below if path.endswith(".parquet") and not any(part[:1] in "._" for part in path.split("/")))
    if not paths:
        raise UserError(f"{place} holds no .parquet file; give a folder of Parquet files, for example what quorum embed wrote")
    return paths


def read_manifest(location: Location) -> dict[str, Any]:
    """What `quorum embed` says of the embeddings in a folder.

    Raises:
        UserError: for a manifest that is damaged.
    """
    manifest, again = location / EMBEDDINGS_MANIFEST, "embed the images again"
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
            f"{location} holds {found} of the {wanted} embeddings that its {EMBEDDINGS_MANIFEST} says; "
            "run quorum embed again, into an empty folder"
        )


def _footer(location: Location, path: str) -> tuple[pq.FileMetaData, str]:
    """A file's metadata and a digest of it; it holds offsets, sizes and statistics of every column, so other rows change it."""

    def read() -> tuple[pq.FileMetaData, str]:
        with location.filesystem.open_input_file(f"{location.path}/{path}") as file:
            footer = pq.ParquetFile(file).metadata
            size = footer.serialized_size
            file.seek(file.size() - 8 - size)
            return footer, hashlib.sha256(file.read(size)).hexdigest()[:16]

    try:
        return patiently(read)
    except (pa.ArrowInvalid, OSError) as error:
        said = str(error).split("\n", maxsplit=1)[0]
        raise UserError(f"{location}/{path} is no whole Parquet file ({said}); restore or remove it") from error


def _check_columns(schema: pa.Schema, path: str, column: str, ids: str | None) -> None:
    for option, name in (("--column", column), ("--id", ids)):
        if name is not None and schema.names.count(name) > 1:
            raise UserError(f"{path} has {schema.names.count(name)} columns of the name {name!r}; rename all but one")
        if name is not None and name not in schema.names:
            has = f"it has {', '.join(schema.names)}"
            raise UserError(f"{path} has no column {name!r}{nearest(name, schema.names)}; {has}: set {option}")
    kind = schema.field(column).type
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not listed or not pa.types.is_floating(kind.value_type):
        raise UserError(f"column {column!r} of {path} is {kind}; vectors are lists of float16, float32 or float64: set --column")
    kind = schema.field(ids).type if ids else pa.int64()
    signed = pa.types.is_integer(kind) and kind != pa.uint64()
    if not (signed or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise UserError(f"column {ids!r} of {path} is {kind}; ids are integers below 2^63 or strings: set --id")


def _dimension(footers: Sequence[tuple[str, pq.FileMetaData]], column: str) -> int:
    """D, from the numbers and rows that the footers count; rows of one length leave no remainder."""
    dim, before = 0, ""
    for path, footer in footers:
        start = 0
        for group in (footer.row_group(g) for g in range(footer.num_row_groups)):
            if group.num_rows == 0:
                continue
            mine, rest = divmod(_numbers(group, column), group.num_rows)
            if rest:
                rows = f"rows {start} to {start + group.num_rows - 1} of {path}"
                raise UserError(f"column {column!r} is null or of another length in some of {rows}; mend or remove them")
            if dim and mine != dim:
                raise UserError(
                    f"column {column!r} has {mine} numbers a row in {path}, {dim} in {before}; vectors need one length"
                )
            dim, before, start = mine, path, start + group.num_rows
    if dim == 0:
        raise UserError(f"column {column!r} has no rows in any file; there is nothing to cluster")
    return dim


def _numbers(group: pq.RowGroupMetaData, column: str) -> int:
    """Numbers in a row group's vectors; a null vector counts one."""
    chunks = (group.column(index) for index in range(group.num_columns))
    return int(next(chunk.num_values for chunk in chunks if chunk.path_in_schema.startswith(f"{column}.")))
