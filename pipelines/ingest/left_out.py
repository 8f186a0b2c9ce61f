"""What a source holds and a data set has not: the list that is kept, and what is said of it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import NamedTuple

import pyarrow as pa

from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.ingest.sources.source import LeftOut, counted
from pipelines.words import tell

QUARANTINE = "quarantine.parquet"
UNREADABLE, LEFT_OUT, NOT_ADDED = "unreadable", "left out", "not added"  # the last of an ingest that added nothing
COLUMNS = pa.schema([(name, pa.string()) for name in ("path", "reason", "kind")])
THERE = "in the data set already, by their paths"  # which is no loss, and said only


class Unreadable(NamedTuple):
    """An image that was to be stored and could not be read: its path and the reason, a sentence."""

    path: str
    reason: str


def write_list(
    location: Location, bad: Sequence[Unreadable], left_out: Sequence[LeftOut], *, added: bool = True, mended: Container[str] = ()
) -> int:
    """Add both to `quarantine.parquet`, columns `path`, `reason` and `kind`: `unreadable` or `left out`; each once.

    Args:
        location: of the data set.
        bad: images of an ingest.
        left_out: of its source.
        added: whether images of it are; else both are of the kind `not added`, and off the list at the next ingest.
        mended: paths that were unreadable, and are images now.

    Returns:
        How many are unreadable in all.
    """
    file = location / QUARANTINE
    there = ParquetReader(file).read().to_pylist() if file.exists() else []
    before = [(row["path"], row["reason"], row.get("kind", UNREADABLE)) for row in there]
    rows = [row for row in before if row[2] != NOT_ADDED and not (row[2] == UNREADABLE and row[0] in mended)]
    rows += [(_shown(path), reason, UNREADABLE if added else NOT_ADDED) for path, reason in bad]
    rows += [(_shown(path), reason, LEFT_OUT if added else NOT_ADDED) for path, reason in _to_list(left_out)]
    listed = list(dict.fromkeys(rows))
    if listed != before:
        location.make()
        file.write_parquet(pa.Table.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in listed], COLUMNS))
    return sum(kind == UNREADABLE for *_, kind in listed)


def _shown(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def say(place: str, left_out: Sequence[LeftOut], notes: Sequence[str], kept: Location) -> None:
    """Say what the user should know of a source, what is not taken of it, by reason, and where the list of that is."""
    for note in notes:
        tell(f"{place}: {note}")
    if left_out:
        listed = f"; paths and reasons are in {kept / QUARANTINE}" if _to_list(left_out) else ""
        tell(f"{place}: {counted(left_out)}{listed}")


def _to_list(left_out: Sequence[LeftOut]) -> list[LeftOut]:
    return [one for one in left_out if one.reason != THERE]
