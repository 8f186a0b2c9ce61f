"""Parquet files with a column of encoded images, as Hugging Face, Ray Data and Spark write them."""

from __future__ import annotations

import functools
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise, zip_longest
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipelines.datasets.parquet_files import is_hidden
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import SUFFIXES, ParquetReader, is_parquet
from pipelines.files.storage_errors import is_of_remote
from pipelines.files.tree import as_spelled, files_below
from pipelines.ingest.containers.columns import Columns, choose_columns, names_in, split_column, values_of, without_views
from pipelines.ingest.containers.labels import classes_of
from pipelines.ingest.sources.image_folders import is_of_system
from pipelines.ingest.sources.source import LeftOut, Listing, Piece, Sample, counted
from pipelines.ingest.sources.splits import by_names, settled, split_of_file, split_of_folder

READERS, MOST_EMPTY = 16, 64
BUCKETS = ("s3", "gs", "gcs")
OF_SO_MANY = re.compile(r"-\d+-of-\d+")  # in names of Hugging Face's files
PIECE_BYTES = 256 << 20  # of images that a task reads at once
PART_BYTES = 32 << 20  # of a row group that is larger


@dataclass(frozen=True)
class ParquetFile:
    """A file of a source.

    Attributes:
        path: below the folder.
        rows: of each row group.
        bytes: of the images of each row group.
        names: of its classes, as it notes them.
        labels: of its rows, as they stand there; `None` where there is none.
        splits: of its rows by its own column, likewise.
    """

    path: str
    rows: tuple[int, ...]
    bytes: tuple[int, ...]
    names: tuple[str, ...] | None
    labels: list[Any]
    splits: list[Any]


def parquet_files(root: Location) -> tuple[list[str], list[LeftOut]]:
    """Paths of the Parquet files in a folder and below it - or of the file itself, an empty one - and what else lies there."""
    if root.is_file():
        return [""], []
    taken, left = [], []
    for found in files_below(root):
        hidden = is_hidden(found.path) or any(map(is_of_system, found.path.split("/")))
        if not found.fault and not hidden and is_parquet(found.path):
            taken.append(found.path)
        else:
            left.append(LeftOut(found.path, found.fault or ("hidden or of a system" if hidden else "no Parquet files")))
    return taken, left


def first_schema(root: Location) -> tuple[pa.Schema, str]:
    """The schema of the first Parquet file of a source, and where that lies.

    Raises:
        UserError: for none.
    """
    paths, left_out = parquet_files(root)
    if not paths:
        raise UserError(f"{root} holds no Parquet file ({', '.join(SUFFIXES)}){': ' + counted(left_out) if left_out else ''}")
    places = [root / path for path in paths]
    # pandas writes an empty table without types.
    readers = ((place, ParquetReader(place)) for place in places[:MOST_EMPTY])
    place, reader = next((one for one in readers if one[1].metadata.num_rows), (places[0], ParquetReader(places[0])))
    return reader.schema, str(place)


@dataclass(frozen=True)
class ParquetSource:
    """Rows of images.

    Splits are said by the names of files and folders (`train-00000-of-00005.parquet`, `validation/0.parquet`), else by a column.

    Attributes:
        root: a folder, or a file.
        columns: of images and labels.
    """

    root: Location
    columns: Columns

    def listing(self) -> Listing:
        """Samples as `file:row`, in the order of files and rows."""
        paths, left_out = parquet_files(self.root)
        split_of, beside = by_names(paths)
        read = functools.partial(self._file, with_splits=not any(map(split_of_file, paths)))
        with ThreadPoolExecutor(READERS) as pool:
            files = [file for file in pool.map(read, split_of) if sum(file.rows)]
        columns, names = self.columns, self.columns.names
        by_column, said = _by_column([name for file in files for name in file.splits])
        notes = [*columns.notes, *_unread_folders(paths), *_configurations(paths), *said]
        if len({file.names for file in files}) > 1:
            notes, names = [*notes, _joined_by_name(files)], None
            files = [replace(file, labels=_by_name(file)) for file in files]
        flat = [label for file in files for label in file.labels]
        classes, labels = classes_of(flat, names, f"column {columns.label!r} of {self.root}")
        keys = [(f"{file.path}:{row}", split_of[file.path]) for file in files for row in range(sum(file.rows))]
        samples = [Sample(key, label, mine or split) for (key, split), label, mine in zip(keys, labels, by_column, strict=True)]
        pieces = [piece for file in files for piece in _pieces(file)]
        return settled(samples, self.root, Listing([], classes, left_out + beside, notes, pieces))

    def read(self, key: str) -> bytes:
        """The image of a row."""
        path, _, row = key.rpartition(":")
        image = next(self.read_rows(path, [int(row)]))
        if isinstance(image, Exception):
            raise image
        return image

    def read_rows(self, name: str, rows: Sequence[int]) -> Iterator[bytes | Exception]:
        """The images of some rows of a file, in their order; each row group is read once."""
        reader = self._reader(name)
        starts = [0]
        for group in range(reader.metadata.num_row_groups):
            starts.append(starts[-1] + reader.metadata.row_group(group).num_rows)
        place = 0
        for group, (start, end) in enumerate(pairwise(starts)):
            mine = []
            while place < len(rows) and rows[place] < end:
                mine.append(rows[place] - start)
                place += 1
            if mine:
                yield from (self._image(value, name) for value in self._values(reader, group, mine))

    def _values(self, reader: ParquetReader, group: int, rows: Sequence[int]) -> Iterator[Any]:
        """What the column of images holds in some rows of a row group."""
        start = 0
        for part in self._parts(reader, group):
            end = start + len(part)
            mine = [row - start for row in rows[bisect_left(rows, start) : bisect_left(rows, end)]]
            yield from without_views(part).take(pa.array(mine, pa.int64())).to_pylist()
            start = end

    def _parts(self, reader: ParquetReader, group: int) -> Iterator[pa.ChunkedArray]:
        """The column of images of a row group; in parts where a task could hardly hold it, and Arrow not beyond 2 GB."""
        image, row_group = self.columns.image, reader.metadata.row_group(group)
        size = _column_bytes(row_group, image)
        if size <= PIECE_BYTES:
            yield reader.read_row_group(group, [image])[image]
            return
        rows = max(row_group.num_rows * PART_BYTES // size, 1)
        yield from (pa.chunked_array([piece]) for piece in reader.pieces(group, image, rows))

    def _image(self, value: Any, name: str) -> bytes | Exception:
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                return _read(self.place(name).parent, value["path"])
            value = value.get("bytes")
        return value if value is not None else ValueError("no image in its row")

    def place(self, path: str) -> Location:
        """Of one of the files; an empty path is that of a source which is a file."""
        return self.root / path

    def rows_without_bytes(self, path: str) -> int:
        """Rows of structs whose field `bytes` is null, so that their path counts; a footer that has no counts is no answer."""
        reader, image = self._reader(path), self.columns.image
        if not pa.types.is_struct(reader.schema.field(image).type):
            return 0
        return sum(self._without_bytes(reader, group) for group in range(reader.metadata.num_row_groups))

    def _without_bytes(self, reader: ParquetReader, group: int) -> int:
        row_group = reader.metadata.row_group(group)
        chunks = [row_group.column(column) for column in range(row_group.num_columns)]
        said = next(chunk.statistics for chunk in chunks if chunk.path_in_schema == f"{self.columns.image}.bytes")
        if said is not None and said.has_null_count:
            return int(said.null_count)
        return sum(pc.struct_field(part, "bytes").null_count for part in self._parts(reader, group))

    def group_bytes(self, footer: pq.FileMetaData) -> tuple[int, ...]:
        """Bytes of the images of each row group."""
        return tuple(_column_bytes(footer.row_group(group), self.columns.image) for group in range(footer.num_row_groups))

    def _reader(self, path: str) -> ParquetReader:
        return ParquetReader(self.place(path))

    def _file(self, path: str, *, with_splits: bool) -> ParquetFile:
        reader, label = self._reader(path), self.columns.label
        names = reader.schema.names
        for name in (self.columns.image, label) if reader.metadata.num_rows else ():
            if name is not None and name not in names:
                raise UserError(f"{self.place(path)} has no column {name!r}, as the other files have; it has {', '.join(names)}")
        if label is None and reader.metadata.num_rows:
            self._refuse_labels(reader, path)
        rows = tuple(reader.metadata.row_group(group).num_rows for group in range(reader.metadata.num_row_groups))
        split = split_column(names, self.columns, str(self.place(path))) if with_splits else None
        labels, splits = (
            values_of(reader.read([name])[name], f"column {name!r} of {self.place(path)}")
            if name and sum(rows)
            else [None] * sum(rows)
            for name in (label, split)
        )
        return ParquetFile(path, rows, self.group_bytes(reader.metadata), names_in(reader.schema, label), labels, splits)

    def _refuse_labels(self, reader: ParquetReader, path: str) -> None:
        """Refuse a file with labels where the first one, which all are read as, has none."""
        found = choose_columns(reader.schema, str(self.place(path)), self.columns.image, None).label
        if found is not None and reader.read([found])[found].null_count < reader.metadata.num_rows:
            raise UserError(
                f"{self.place(path)} has a column {found!r}, which the first file has not; write it to all of them, or ingest "
                "those without it by themselves"
            )


def _unread_folders(paths: Sequence[str]) -> list[str]:
    """What is to be said of folders whose names hold a column's value, as `label=cat/`; those that name a split are read."""
    parts = [part for path in paths for part in path.split("/")[:-1]]
    found = sorted({part for part in parts if part.find("=") > 0 and split_of_folder(part) is None})
    if not found:
        return []
    columns = ", ".join(sorted({repr(part.partition("=")[0]) for part in found}))
    return [
        f"names of folders such as {found[0]}/ are not read: {columns} counts for nothing, unless you write it into the files"
    ]


def _configurations(paths: Sequence[str]) -> list[str]:
    """What is to be said of folders that both have the file of one number of as many, as Hugging Face's configurations do."""
    folders = defaultdict[str, list[str]](list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        if OF_SO_MANY.search(name) and split_of_folder(folder.rpartition("/")[2]) is None:
            folders[name].append(f"{folder}/")
    return [
        f"{one} and {other} both have a {name}: if they are configurations of the same images, ingest one of them alone"
        for name, (one, other, *_) in ((name, found) for name, found in sorted(folders.items()) if len(found) > 1)
    ][:1]


def _by_column(names: Sequence[Any]) -> tuple[list[str | None], list[str]]:
    """The split of each row by its column, and what is to be said of a column that holds something else, and is not read."""
    texts = ["" if name is None else str(name) for name in names]
    splits = {text: split_of_folder(text) for text in {*texts} - {""}}
    if odd := sorted(text for text, split in splits.items() if split is None):
        return [None] * len(names), [
            f"{odd[0]!r} in the column of splits is none of train, val and test: that column is not read"
        ]
    return [splits.get(text) for text in texts], []


def _joined_by_name(files: Sequence[ParquetFile]) -> str:
    """What is to be said of files whose classes have other names, with the first number that differs."""
    first, other = files[0], next(file for file in files if file.names != files[0].names)
    pairs = enumerate(zip_longest(first.names or (), other.names or ()))
    number, (one, two) = next((number, pair) for number, pair in pairs if pair[0] != pair[1])
    return (
        f"the files name their classes in different ways (class {number} is {_called(one)} in {first.path} and {_called(two)} in "
        f"{other.path}): they are joined by name, so that what is called alike is one class, whatever its number"
    )


def _called(name: str | None) -> str:
    return "without a name" if name is None else repr(name)


def _by_name(file: ParquetFile) -> list[Any]:
    """Labels of a file by the names of their classes, where it has such.

    Raises:
        UserError: for a number that has none.
    """
    if file.names is None:
        if (number := next((label for label in file.labels if isinstance(label, int) and label >= 0), None)) is not None:
            bare = f"classes by number ({number}) and no names of them"
            raise UserError(f"{file.path} has {bare}, which other files have; write them alike")
        return file.labels
    known: dict[Any, str | None] = {None: None, -1: None} | dict(enumerate(file.names))
    try:
        return [value if isinstance(value, str) else known[value] for value in file.labels]
    except KeyError as error:
        raise UserError(
            f"{file.path}: label {error.args[0]} is none of the {len(file.names)} classes that are named there"
        ) from error


def _read(folder: Location, path: str) -> bytes | Exception:
    try:
        return bytes_at(folder, path)
    except (OSError, ValueError, UserError) as error:  # pyarrow's own for what is no path is a ValueError
        if is_of_remote(error):
            raise
        return error


def bytes_at(folder: Location, path: str) -> bytes:
    """What the file holds that a path or URI in a table names; its accents may be written otherwise on the disk."""
    place = _pointed_at(folder, path)
    try:
        return place.read_bytes()
    except FileNotFoundError:
        if (spelled := as_spelled(place)) is None:
            raise
        return spelled.read_bytes()


def _pointed_at(folder: Location, path: str) -> Location:
    """The file; a relative path goes from the table's folder."""
    scheme, mark, rest = path.partition("://")
    if not mark:
        return Location.of(path) if path.startswith("/") else folder / path
    bucket, _, key = rest.partition("/")
    if "?" in path or not key or scheme not in BUCKETS:
        return Location.of(path)
    return _bucket(f"{scheme}://{bucket}") / unquote(key)


@functools.lru_cache(maxsize=16)
def _bucket(uri: str) -> Location:
    """A bucket, opened once in a process, whose connections are kept."""
    return Location.of(uri)


def _column_bytes(group: pq.RowGroupMetaData, column: str) -> int:
    chunks = [group.column(index) for index in range(group.num_columns)]
    return sum(chunk.total_uncompressed_size for chunk in chunks if f"{chunk.path_in_schema}.".startswith(f"{column}."))


def _pieces(file: ParquetFile) -> Iterator[Piece]:
    """Row groups that follow each other, as many as a task may hold."""
    first = row = held = 0
    for rows, size in zip(file.rows, file.bytes, strict=True):
        if held and held + size > PIECE_BYTES:
            yield Piece(file.path, range(first, row), held)
            first, held = row, 0
        row, held = row + rows, held + size
    if row > first:
        yield Piece(file.path, range(first, row), held)
