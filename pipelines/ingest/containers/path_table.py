"""A table of paths and labels: CSV, TSV, lines of JSON or Parquet, as pandas, Excel, Kaggle or Hugging Face write them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import posixpath
import re
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipelines.datasets.encoded_image import is_image
from pipelines.errors import UserError, nearest
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, is_parquet
from pipelines.files.text import composed, decoded, plain_name
from pipelines.files.tree import files_below
from pipelines.ingest.containers.columns import LABELS, PATHS, Columns, choose_columns, split_column, values_of
from pipelines.ingest.containers.labels import Value, classes_of
from pipelines.ingest.containers.parquet_images import bytes_at, parquet_files
from pipelines.ingest.sources.source import LeftOut, Listing, Sample
from pipelines.ingest.sources.splits import settled, split_of_folder
from pipelines.secrets import hidden

TEXT_TABLES = (".csv", ".tsv", ".tab", ".txt", ".csv.gz", ".tsv.gz")
JSON_LINES = (".jsonl", ".ndjson", ".jsonl.gz")
DELIMITERS = ",;\t|"
SEPARATOR_LINE = "sep="  # by which Excel is told the delimiter
LONGEST_PATH = 4096  # that systems open
NO_TEXTS = "images in texts (base64) are not read; write them as bytes, in a column of a Parquet file"
EXCEL = (".xlsx", ".xls", ".xlsm", ".ods")


def is_table(name: str) -> bool:
    """Whether a file's name ends as one of a table of text does."""
    return name.lower().endswith((*TEXT_TABLES, *JSON_LINES, *EXCEL))


@dataclass(frozen=True)
class TableSource:
    """Rows of paths, perhaps with labels and splits.

    Paths are URIs, absolute, or relative to the table's folder; a name without folder or suffix is looked for below it.

    Attributes:
        root: the table, or a folder of Parquet tables.
        folder: that relative paths begin in.
        image: column of the paths; `None` to find it.
        label: column of the labels; `None` to find it.
    """

    root: Location
    folder: Location
    image: str | None = None
    label: str | None = None

    @classmethod
    def open(cls, root: Location, image: str | None, label: str | None) -> TableSource:
        """The source; its folder is found once, for on an object store each look is a request."""
        return cls(root, root if root.is_dir() else root.parent, image, label)

    def listing(self) -> Listing:
        """Samples by the paths that the table has, in its order."""
        columns, paths, labels, splits = self._columns()
        keys, left_out = _found(self.folder, paths)
        notes = [*columns.notes]
        known = [label if key is not None else None for key, label in zip(keys, labels, strict=True)]
        classes, numbers = classes_of(known, columns.names, f"column {columns.label!r} of {self.root}")
        rows: dict[str, Sample] = {}
        for line, (key, number, split) in enumerate(zip(keys, numbers, splits, strict=True), 1):
            if key is None:
                continue
            sample = Sample(key, number, _split(split, f"{self.root}, row {line}"))
            if rows.setdefault(key, sample) != sample:
                raise UserError(f"{self.root}, row {line}: {key!r} stands there twice, with two labels or splits; mend the table")
        if double := sum(key is not None for key in keys) - len(rows):
            notes.append(f"{double:,} rows name an image a second time")
        return settled(list(rows.values()), self.root, Listing([], classes, left_out, notes))

    def read(self, key: str) -> bytes:
        """The file as it is."""
        return bytes_at(self.folder, key)

    def _columns(self) -> tuple[Columns, list[str | None], list[Value], list[str | None]]:
        """The columns; path, label and split of each row."""
        table = _read_parquet(self.root) if self.root.is_dir() or is_parquet(self.root.name) else _read_text(self.root)
        where = str(self.root)
        if table.schema.names[:1] == ["0"] and not self.image:  # without a header
            if table.num_columns > 2 and not self.label:
                raise UserError(f"{where} has {table.num_columns} columns and no header; give it one, as path,label")
            columns = Columns("0", "1" if table.num_columns > 1 else None, None)
        else:
            columns = choose_columns(table.schema, where, self.image, self.label)
            if columns.label is None and table.num_columns == 2:
                other = next(name for name in table.schema.names if name != columns.image)
                columns = choose_columns(table.schema, where, columns.image, other)
        image, label = columns.image, columns.label
        split = split_column(table.schema.names, columns, where)
        empty: list[Any] = [None] * len(table)
        paths, labels, splits = (
            values_of(table[name], f"column {name!r} of {where}") if name else empty for name in (image, label, split)
        )
        return columns, paths, labels, splits


def _split(name: str | None, where: str) -> str:
    if name is None or not str(name).strip():
        return "train"
    split = split_of_folder(str(name))
    if split is None:
        raise UserError(f"{where}: split {name!r} is none of train, val and test{nearest(str(name), ('train', 'val', 'test'))}")
    return split


def _read_parquet(root: Location) -> pa.Table:
    paths, _ = parquet_files(root)
    tables = [ParquetReader(root / path).read() for path in paths]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UserError(f"the files of {root} have columns of different types ({error}); write them alike") from error


def _read_text(place: Location) -> pa.Table:
    """A table of text columns; columns are called 0, 1, ... where it has no header."""
    if place.name.lower().endswith(EXCEL):
        raise UserError(f"{place} is a workbook; save its sheet as CSV (UTF-8), and give that")
    lines = re.split("\r\n|\r|\n", _decoded(place))  # and not at all that Unicode calls the end of a line
    if place.name.lower().endswith(JSON_LINES):
        return _of_json(lines, place)
    delimiter = ""
    if lines and lines[0].lower().startswith(SEPARATOR_LINE):
        delimiter, lines = lines[0][len(SEPARATOR_LINE) :][:1], lines[1:]
    if not any(lines):
        raise UserError(f"{place} is empty; a line holds a path, and perhaps a label")
    delimiter = delimiter or _delimiter(lines[0])
    try:
        reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=True)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise UserError(f"{place} is no table ({error}); a line holds a path, and perhaps a label") from error
    if not rows:
        raise UserError(f"{place} is empty; a line holds a path, and perhaps a label")
    width = len(rows[0][1])
    for number, row in rows:
        if len(row) != width:
            raise UserError(f"{place}, line {number}: {len(row)} cells, where the first line has {width}; mend or quote it")
    has_header = _is_header(rows[0][1], rows[1][1] if len(rows) > 1 else [])
    header = _named(*rows[0:2]) if has_header else [str(place) for place in range(width)]
    cells = [row for _, row in rows[has_header:]]
    return pa.Table.from_arrays([pa.array([row[i] for row in cells], pa.string()) for i in range(width)], names=header)


def _of_json(lines: Sequence[str], place: Location) -> pa.Table:
    """A table of which each line is an object of JSON."""
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows += [json.loads(line)] if line.strip() else []
            if rows and not isinstance(rows[-1], dict):
                raise ValueError("no object")  # of a kind with what is no JSON at all
            if "\\u" in line:  # which may be half of a letter, and no text
                json.dumps(rows[-1], ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UserError(f"{place}, line {number} is no object of JSON ({error}); each line holds one, with a path") from error
    if not rows:
        raise UserError(f"{place} is empty; a line holds a path, and perhaps a label")
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    """Values of JSON; as text where they are of several kinds, or too large."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):  # the last of whole numbers beyond 64 bits
        return pa.array([None if value is None else value if isinstance(value, str) else json.dumps(value) for value in values])


def _decoded(place: Location) -> str:
    content = place.read_bytes()
    if place.name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{place} is cut short or damaged ({error}); fetch it again") from error
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise UserError(f"{place} is no text; save the table as CSV in UTF-8") from error
        return content.decode("cp1252", errors="replace")  # Excel's CSV in western countries


def _delimiter(line: str) -> str:
    if any(line.count(one) for one in DELIMITERS):
        return max(DELIMITERS, key=line.count)
    return " " if is_image(line.strip().split(" ")[0]) else ","  # as the lists of DomainNet have it


def _is_header(cells: Sequence[str], following: Sequence[str]) -> bool:
    """Whether cells are names of columns: none looks like an image, and one is usual or has an image below it."""
    usual = any(plain_name(cell) in (*PATHS, *LABELS) for cell in cells)
    return not any(map(is_image, cells)) and (usual or any(map(is_image, following)))


def _named(first: tuple[int, list[str]], second: tuple[int, list[str]] = (0, [])) -> list[str]:
    """Names of the columns; in another language, the one with images, and of two the other one too, get usual names."""
    cells, below = first[1], second[1]
    if any(plain_name(cell) in PATHS for cell in cells) or not any(map(is_image, below)):
        return cells
    place = next(place for place, cell in enumerate(below) if is_image(cell))
    names = [PATHS[0] if column == place else cell for column, cell in enumerate(cells)]
    return [name if column == place else LABELS[0] for column, name in enumerate(names)] if len(names) == 2 else names


def _plain(path: str, folder: Location) -> str:
    """A path by one spelling: with slashes, without detours, relative where it lies in the table's folder."""
    if "://" in path:
        return path
    plain = posixpath.normpath(path.replace("\\", "/"))
    return plain.removeprefix(f"{folder.path.rstrip('/')}/") if folder.is_local else plain


def _found(folder: Location, paths: Iterable[str | None]) -> tuple[list[str | None], list[LeftOut]]:
    """The key of each path (`None` where it is left out), and what is left out.

    A path with a folder or a suffix is taken at its word: whether it is there shows when it is read.
    """
    listed = list(paths)
    bare = [path for path in listed if path and "/" not in _plain(path, folder)]
    known: dict[str, list[str]] = defaultdict(list)
    for found in files_below(folder) if bare else ():
        name = found.path.rpartition("/")[2]
        for key in {found.path, name, name.rpartition(".")[0] if is_image(name) else name} if not found.fault else ():
            known[composed(key)].append(found.path)
    keys: list[str | None] = []
    left: list[LeftOut] = []
    for row, path in enumerate(listed, 1):
        if not path:
            left.append(LeftOut(f"row {row}", "rows without a path"))
            keys.append(None)
            continue
        if len(path) > LONGEST_PATH:
            raise UserError(
                f"row {row} of the table in {folder} holds {path[:20]}..., {len(path):,} characters, and no path: {NO_TEXTS}"
            )
        key = _plain(path, folder)
        there = known.get(composed(key), []) if "/" not in key else [key]
        if len(there) > 1 and key not in there:
            raise UserError(f"{folder}: {path!r} of the table may be {there[0]} or {there[1]}; write the whole path")
        if not there:
            left.append(LeftOut(path, "rows whose file is not there"))
        if hidden(key) != key:
            raise UserError(f"{hidden(key)}: its key would stand in the shards; give keys by the environment, not in addresses")
        keys.append((key if key in there else there[0]) if there else None)
    return keys, left
