"""Images of a packed source, dealt to the shards that they belong to: each file is read once, whatever the order of the shards.

Pieces of files are read by tasks that deal their images to bundles of shards, through Ray's object store, which keeps on disk
what exceeds it; other tasks write the bundles.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.ingest.shard_writer import PartWriter, ShardPlan, UnreadError, Written, reason_of
from pipelines.ingest.sources.source import PackedSource, Piece

MOST_OBJECTS = 100_000  # that the driver keeps track of; more bundles would be smaller, and fewer fit less memory
SCHEMA = pa.schema([("place", pa.int64()), ("image", pa.large_binary()), ("fault", pa.string())])


@dataclass
class Dealt:
    """The rows of a piece that are wanted, ascending, and for each the bundle that it goes to and its place in that."""

    piece: Piece
    rows: list[int] = field(default_factory=list)
    bundles: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)


class Exchange:
    """Deals the images of a packed source to parts.

    Args:
        writer: of the parts; its source is packed.
        pieces: of the source.
        parts: to write.
    """

    def __init__(self, writer: PartWriter, pieces: Sequence[Piece], parts: Sequence[ShardPlan]) -> None:
        self._writer = writer
        count = max(1, min(len(parts), MOST_OBJECTS // max(len(pieces), 1)))
        bounds = np.linspace(0, len(parts), count + 1).astype(int)
        self._bundles = [list(parts[start:end]) for start, end in pairwise(bounds)]
        self._dealt = _deal(pieces, self._bundles)

    def calls(self, submit: Callable[..., Any]) -> Iterator[tuple[bool, Callable[[], ray.ObjectRef]]]:
        """What to submit, in order, and whether it writes parts: the reading of all pieces first, then the writing of bundles.

        Args:
            submit: makes a remote function of a plain one.
        """
        parts_of_bundle: list[list[ray.ObjectRef]] = [[] for _ in self._bundles]
        read = submit(_read_piece).options(num_returns=len(self._bundles))
        write = submit(_write_bundle)

        def reading(dealt: Dealt) -> ray.ObjectRef:
            found = read.remote(self._writer.source, dealt, len(self._bundles))
            tables = found if isinstance(found, list) else [found]
            for bundle, table in zip(parts_of_bundle, tables, strict=True):
                bundle.append(table)
            return tables[0]

        def writing(number: int) -> ray.ObjectRef:
            tables, parts_of_bundle[number] = parts_of_bundle[number], []
            return write.remote(self._writer, self._bundles[number], *tables)

        yield from ((False, partial(reading, dealt)) for dealt in self._dealt)
        yield from ((True, partial(writing, number)) for number in range(len(self._bundles)))


def _deal(pieces: Sequence[Piece], bundles: Sequence[Sequence[ShardPlan]]) -> list[Dealt]:
    """For each piece what becomes of its rows; places count the samples of a bundle."""
    dealt = [Dealt(piece) for piece in pieces]
    of_name: dict[str, list[int]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        of_name[piece.name].append(number)
    wanted: list[list[tuple[int, int, int]]] = [[] for _ in pieces]
    for number, bundle in enumerate(bundles):
        for place, sample in enumerate(sample for part in bundle for sample in part.samples):
            name, _, row = sample.key.rpartition(":")
            mine = of_name.get(name)
            if mine is None:  # of a file that is not packed: who writes it reads it
                continue
            found = mine[bisect_right(mine, int(row), key=lambda one: pieces[one].rows.start) - 1]
            wanted[found].append((int(row), number, place))
    for one, rows in zip(dealt, wanted, strict=True):
        ordered = sorted(rows)
        one.rows, one.bundles, one.places = ([row[column] for row in ordered] for column in range(3))
    return [one for one in dealt if one.rows]


def _read_piece(source: PackedSource, dealt: Dealt, bundles: int) -> Any:
    """A table of places and images for each bundle; one alone where there is only one bundle."""
    found: list[list[tuple[int, bytes | None, str | None]]] = [[] for _ in range(bundles)]
    images = source.read_rows(dealt.piece.name, dealt.rows)
    for bundle, place, image in zip(dealt.bundles, dealt.places, images, strict=True):
        found[bundle].append((place, image, None) if isinstance(image, bytes) else (place, None, reason_of(image)))
    columns = [tuple(zip(*rows, strict=True)) or ((), (), ()) for rows in found]
    tables = [pa.table([list(column) for column in three], schema=SCHEMA) for three in columns]
    return tables if bundles > 1 else tables[0]


def _write_bundle(writer: PartWriter, parts: Sequence[ShardPlan], *tables: pa.Table) -> list[Written]:
    whole = pa.concat_tables(tables).sort_by("place")
    places = whole["place"].to_numpy()
    written, first = [], 0
    for part in parts:
        start, end = np.searchsorted(places, (first, first + len(part.samples))).tolist()
        rows, images = whole.slice(start, end - start), list[bytes | Exception | None]([None] * len(part.samples))
        columns = (rows[name].to_pylist() for name in SCHEMA.names)
        for place, image, fault in zip(*columns, strict=True):
            images[place - first] = UnreadError(fault) if image is None else image
        written.append(writer.write(part, images))
        first += len(part.samples)
    return written
