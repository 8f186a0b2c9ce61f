"""What a source holds and a data set has not: the list that is kept, and what is said of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from pipelines.files.location import Location
from pipelines.ingest.sources.source import LeftOut, counted

QUARANTINE = "quarantine.parquet"
THERE = "in the data set already, by their paths"  # which is no loss, and said only


class Unreadable(NamedTuple):
    """An image that was to be stored and could not be read: its path and the reason, a sentence."""

    path: str
    reason: str


def write_list(location: Location, bad: Sequence[Unreadable], left_out: Sequence[LeftOut]) -> None:
    """Add both to `quarantine.parquet`, columns `path`, `reason` and `kind`: `unreadable` or `left out`."""
    left_out = [one for one in left_out if one.reason != THERE]
    if not bad and not left_out:
        return
    file = location.make() / QUARANTINE
    paths = [path.encode("utf-8", "backslashreplace").decode() for path, _ in (*bad, *left_out)]
    reasons = [*(one.reason for one in bad), *(f"one of those {one.reason}" for one in left_out)]
    kinds = ["unreadable"] * len(bad) + ["left out"] * len(left_out)
    table = pa.table({"path": paths, "reason": reasons, "kind": kinds})
    if file.exists():
        table = pa.concat_tables([file.read_parquet(), table], promote_options="default")
    file.write_parquet(table)


def say(place: str, left_out: Sequence[LeftOut], notes: Sequence[str], kept: Location) -> None:
    """Say what the user should know of a source, what is not taken of it, by reason, and where the list of that is."""
    for note in notes:
        print(f"{place}: {note}", file=sys.stderr)
    if left_out:
        print(f"{place}: {counted(left_out)}; paths and reasons are in {kept / QUARANTINE}", file=sys.stderr)
