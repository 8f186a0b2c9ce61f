"""What a list file calls instances: their ids, their source paths, and names that only one of them has.

A name that may be read in two ways is refused rather than guessed.
"""

from __future__ import annotations

import functools
import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from pipelines.errors import UserError, nearest
from pipelines.files.text import composed
from pipelines.words import tell

MOST_DIGITS = 18  # of an id: below 2^63
MOST_COMPARED = 10_000  # sources among which the nearest name is looked for


@dataclass(frozen=True)
class Named:
    """What is to be found: the name of an instance, and where it stands in words."""

    key: str
    where: str


class Instances:
    """Instances by what a list may call them.

    Args:
        sources: instance id of each source path.
        elsewhere: the other split that a source path is in.
    """

    def __init__(self, sources: dict[str, int], elsewhere: Mapping[str, str] | None = None) -> None:
        self.sources, self.ids, self.elsewhere = sources, set(sources.values()), elsewhere or {}

    def by_id(self, key: str) -> int | None:
        """The instance of that id."""
        number = int(key) if key.isascii() and key.isdecimal() and len(key) <= MOST_DIGITS else -1
        return number if number in self.ids else None

    def by_path(self, key: str) -> tuple[int, str] | None:
        """The instance of that source path, which may have a root in front, and the root."""
        if key in self.sources:
            return self.sources[key], ""
        path = _plain_path(key)
        for start in (0, *(found.end() for found in re.finditer("/", path))):
            if (row := self._paths.get(path[start:])) is not None:
                return row, path[:start]
        return None

    def by_short_name(self, key: str) -> list[str]:
        """Source paths that end in that name, or do without their suffix."""
        return self._short.get(_plain_path(key), [])

    def has(self, key: str) -> bool:
        """Whether the key names an instance in any way."""
        return bool(key) and (self.by_id(key) is not None or self.by_path(key) is not None or bool(self.by_short_name(key)))

    @functools.cached_property
    def _paths(self) -> dict[str, int]:
        return {_plain_path(source): row for source, row in self.sources.items()}

    @functools.cached_property
    def _short(self) -> dict[str, list[str]]:
        short: dict[str, list[str]] = {}
        for source in self.sources:
            path = _plain_path(source)
            bare = posixpath.splitext(path)[0]
            for name in {bare, posixpath.basename(path), posixpath.basename(bare)} - {path}:
                short.setdefault(name, []).append(source)
        return short


def _plain_path(text: str) -> str:
    """A path with slashes, without a leading `./`, its letters composed."""
    if text.lower().startswith("file:"):
        text = re.sub("^//[^/]*/", "/", unquote(text[len("file:") :]))
    path = posixpath.normpath(text.replace("\\", "/")) if text else text
    return composed(path)


def rows_of(names: Sequence[Named], instances: Instances, *, ids: bool | None) -> list[int]:
    """The instance of each name.

    Args:
        names: of one list.
        instances: that they are looked for among.
        ids: whether numbers are instance ids or names of files, where that is known.

    Raises:
        UserError: saying where the name stands that nothing has, or that may be read in two ways.
    """
    return list(_rows(names, instances, _are_ids(names, instances) if ids is None else ids, known=ids is not None))


def _rows(names: Sequence[Named], instances: Instances, ids: bool, *, known: bool) -> Iterator[int]:
    roots: dict[str, str] = {}
    for name in names:
        number = instances.by_id(name.key)
        if known and ids and number is None and name.key.isdecimal():
            raise UserError(f"{name.where}: {name.key!r} is no instance id of the shards")
        is_path = bool(instances.by_short_name(name.key)) or (known and name.key in instances.sources)
        yield number if number is not None and (ids or not is_path) else _by_name(name, instances, roots)


def _by_name(name: Named, instances: Instances, roots: dict[str, str]) -> int:
    """The instance of a source path or file name; `roots` are those that stood in front of the list's paths so far."""
    if (found := instances.by_path(name.key)) is not None:
        row, root = found
        if root:
            roots.setdefault(root, name.where)
        if len(roots) > 1:
            raise UserError(
                f"{name.where}: {name.key!r} lies in {root!r}, and a path before it in {next(iter(roots))!r}; "
                "give paths below the folder that was ingested"
            )
        return row
    sources = instances.by_short_name(name.key)
    if len(sources) > 1:
        raise UserError(
            f"{name.where}: {name.key!r} is the name of {len(sources)} images, {sources[0]} and {sources[1]} among them; "
            "give the source path"
        )
    if sources:
        return instances.sources[sources[0]]
    if (split := instances.elsewhere.get(name.key)) is not None:
        raise UserError(f"{name.where}: {name.key!r} is in split {split!r}, not in the one that is chosen from; leave it out")
    near = nearest(name.key, itertools.islice(instances.sources, MOST_COMPARED))
    raise UserError(f"{name.where}: {name.key!r} is neither an instance id nor a source path of the shards{near}")


def _are_ids(names: Sequence[Named], instances: Instances) -> bool:
    """Whether numbers that are an id and a file's name too are ids: the list's other numbers tell.

    They are where most others are ids only and none is a name only, and names where it is the other way round.

    Raises:
        UserError: where the others do not tell.
    """
    both: Named | None = None
    numbers, id_only, name_only, sources_too = 0, 0, 0, 0
    for name in names:
        row, short = instances.by_id(name.key), instances.by_short_name(name.key)
        numbers += name.key.isdecimal()
        padded = row is not None and name.key != str(row)  # as no id is written
        if row is None or (padded and short):
            name_only += bool(short) and name.key.isdecimal()
        elif not short:
            id_only += 1
            sources_too += instances.sources.get(name.key, row) != row
        elif [instances.sources[source] for source in short] != [row]:
            both = both or name
    if both is None or (id_only and not name_only and 2 * id_only >= numbers):
        if both or sources_too:
            tell(f"{names[0].where} and on: numbers are taken for instance ids, though files have such names")
        return both is not None
    if name_only and not id_only:
        return False
    raise UserError(
        f"{both.where}: {both.key!r} may be instance {both.key} or the image {instances.by_short_name(both.key)[0]}; "
        "write file names with their suffix, or give --list-ids for instance ids"
    )
