"""A list file of `quorum labels`: which instance each of its lines names, and the class that it gives that instance.

It is read as people and their tools write it: with a header line, other separators, quotes, line ends and encodings.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.datasets.instance_names import Instances, Named, rows_of
from pipelines.errors import UserError
from pipelines.files.text import composed, decoded, plain_name
from pipelines.words import tell

SEPARATORS = (",", ";", "\t")
ID_COLUMNS = ("id", "ids", "instance", "instance_id")
PATH_COLUMNS = (
    "source", "path", "file", "filename", "file_name", "filepath", "file_path", "image_path", "image_file", "img_path", "uri",
    "url", "image_uri", "image_url",
)  # fmt: skip
NAME_COLUMNS = ("image", "img", "image_name", "img_name", "image_id", "name", "key")  # of ids or of paths
CLASS_COLUMNS = (
    "label", "labels", "class", "cls", "class_name", "classname", "class_id", "class_label", "label_id", "image_label", "target",
    "category", "species", "breed", "y",
)  # fmt: skip
LIST_CLASSES = (*CLASS_COLUMNS, "classes", "label_name")  # in a table that has `label` too they would be a second one
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
PADDED = re.compile(r"(-?)0*(\d+)(?:\.0*)?")  # a whole number, as 1.0 and 01 are


@dataclass(frozen=True)
class Line(Named):
    """A line: what names the instance, where that stands, and its class; `None` where it gives none."""

    label: str | None


@dataclass(frozen=True)
class Columns:
    """Which value of a line names the instance and which is its class, of how many; whether a header says what names are."""

    key: int = 0
    label: int = 1
    ids: bool | None = None
    width: int = 2


def read_list(
    file: str, sources: dict[str, int], *, ids: bool = False, elsewhere: Mapping[str, str] | None = None
) -> list[tuple[Line, int]]:
    """The lines of a list file, each with the instance that it names.

    Args:
        file: text, an instance a line: its id, source path or unmistakable file name, and perhaps its class.
        sources: instance id of each source path of the shards.
        ids: whether every number is an instance id, whatever the sources are called.
        elsewhere: the other split that a source path is in.

    Raises:
        UserError: for a file that cannot be read, and naming the line of what is not in the shards or may be read in two ways.
    """
    instances = Instances(sources, elsewhere)
    columns, rows = _with_columns(file, _separated(file, instances), instances)
    lines = [_line(where, cells, columns) for where, cells in rows]
    if not lines:
        raise UserError(f"list {file} is empty; a line holds an instance id or a source path")
    rows_of_lines = rows_of(lines, instances, ids=True if ids else columns.ids)
    return list(zip(lines, rows_of_lines, strict=True))


def fraction_in(labels: Iterable[str]) -> str | None:
    """A label such as `0.5` where all are numbers: what was measured, and no class; `None` without one."""
    listed = list(labels)
    if not all(map(NUMBER.fullmatch, listed)):
        return None
    return next((label for label in listed if not float(label).is_integer()), None)


def alike_classes(classes: Iterable[str]) -> list[str]:
    """What is to be said of names that differ in capitals, blanks or how a number is written only, as slips do."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in classes:
        plain = "".join(name.casefold().split())
        number = PADDED.fullmatch(plain)
        spellings["".join(number.groups()) if number else plain].append(name)
    alike = [names for names in spellings.values() if len(names) > 1]
    return [f"{' and '.join(map(repr, names))} are {len(names)} classes" for names in alike[:1]]


def _text(file: str) -> str:
    try:
        content = Path(file).expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"list {file} cannot be read: {error.strerror}") from error
    try:
        return decoded(content)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(f"list {file}, line {line} cannot be read: it is no UTF-8 text; save the file as UTF-8") from error


def _separated(file: str, instances: Instances) -> list[tuple[str, list[str]]]:
    """The values of each line that has any, by the separator under which most lines name an instance."""
    numbered = [(f"list {file}, line {number}", line) for number, line in enumerate(re.split("\r\n|\r|\n", _text(file)), 1)]
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for separator in SEPARATORS:
        found[separator] = [(where, _cells(where, line, separator, instances)) for where, line in numbered if line.strip()]

    def named(separator: str) -> int:
        return sum(any(map(instances.has, cells)) for _, cells in found[separator])

    return [(where, cells) for where, cells in found[max(SEPARATORS, key=named)] if any(cells)]


def _cells(where: str, line: str, separator: str, instances: Instances) -> list[str]:
    if line.strip() in instances.sources:  # which may hold a separator
        return [line.strip()]
    try:
        cells = [cell.strip() for cell in next(csv.reader([line.strip(" ")], delimiter=separator, skipinitialspace=True))]
    except csv.Error as error:
        raise UserError(f"{where} cannot be read: {error}") from error
    return cells


def _with_columns(
    file: str, rows: list[tuple[str, list[str]]], instances: Instances
) -> tuple[Columns, list[tuple[str, list[str]]]]:
    """Where the values stand, and the lines without the header, if there is one."""
    where, header = rows[0] if rows else ("", [])
    names = [plain_name(cell) for cell in header]
    paths, ids = ([place for place, name in enumerate(names) if name in known] for known in (PATH_COLUMNS, ID_COLUMNS))
    # Beside a path `image` is something else; beside `id`, which may count lines, either may be the instance.
    keys = [*paths, *ids, *(place for place, name in enumerate(names) if name in NAME_COLUMNS and not paths)]
    labels = [place for place, name in enumerate(names) if name in LIST_CLASSES]
    if not keys + labels or any(map(instances.has, header)):
        return Columns(), rows
    others = [cell for place, cell in enumerate(header) if cell and place not in keys + labels]
    if len(keys) != 1 or len(labels) > 1:
        raise UserError(
            f"{where} is a header of {', '.join(header)}; leave one column that names the instance (id or path), and one label"
        )
    if not labels and others:
        raise UserError(f"{where} is a header without a label: {', '.join(header)}; call the column of the classes label")
    if others:
        used = " and ".join(repr(header[place]) for place in keys + labels)
        tell(f"list {file}: only columns {used} are read, and not {', '.join(map(repr, others))}")
    label = labels[0] if labels else 1 if keys[0] == 0 else 0
    width = max(label + 1, *(number for number, cell in enumerate(header, 1) if cell))
    return Columns(keys[0], label, True if ids else False if paths else None, width), rows[1:]


def _line(where: str, cells: Sequence[str], columns: Columns) -> Line:
    if any(cells[columns.width :]):  # empty ones are what spreadsheets fill up lines with
        raise UserError(
            f"{where} has {len(cells)} values instead of {columns.width}; give an instance and its class, a path with a "
            "separator in it between quotes, or a header that names the columns"
        )
    if columns.key >= len(cells) or not cells[columns.key]:
        raise UserError(f"{where} names no instance; give its id or its source path")
    return Line(cells[columns.key], where, composed(cells[columns.label]) if columns.label < len(cells) else None)
