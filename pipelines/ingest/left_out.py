"""What a source holds and a data set has not: the list that is kept, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.ingest.sources.source import LeftOut, counted
from pipelines.words import tell

QUARANTINE, UNREADABLE = "quarantine.parquet", "unreadable"
THERE = "in the data set already, by their paths"  # which is no loss, and said only


class Unreadable(NamedTuple):
    """An image that was to be stored and could not be read: its path and the reason, a sentence."""

    path: str
    reason: str


def write_list(location: Location, bad: Sequence[Unreadable], left_out: Sequence[LeftOut]) -> int:
    """Add both to `quarantine.parquet`, columns `path`, `reason` and `kind`: `unreadable` or `left out`; each once.

    Returns:
        How many are unreadable in all.
    """
    file = location / QUARANTINE
    there = ParquetReader(file).read().to_pylist() if file.exists() else []
    rows = [(row["path"], row["reason"], row.get("kind", UNREADABLE)) for row in there]
    rows += [(_shown(path), reason, UNREADABLE) for path, reason in bad]
    rows += [(_shown(path), reason, "left out") for path, reason in _to_list(left_out)]
    listed = list(dict.fromkeys(rows))
    if listed and len(listed) > len(there):
        location.make()
        columns = (list(column) for column in zip(*listed, strict=True))
        file.write_parquet(pa.table(dict(zip(("path", "reason", "kind"), columns, strict=True))))
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
