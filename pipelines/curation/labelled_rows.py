"""The labels of a finished clustering by the places of their rows, read as they are needed. Free of torch and Ray."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, is_parquet

ID, LABEL, SIMILARITY = "id", "label", "similarity"


@dataclass(frozen=True)
class LabelledRows:
    """Files of labels, in the order of the vectors.

    Attributes:
        folder: that holds them.
        head: whose labels are read.
        clusters: K of that head.
    """

    folder: Location
    head: int
    clusters: int

    @cached_property
    def names(self) -> list[str]:
        """Of the files."""
        return [name for name in self.folder.children() if is_parquet(name)]

    @property
    def digest(self) -> str:
        """Hash over the files' footers, which hold sizes and statistics of the labels of all heads."""
        digests = [[name, ParquetReader(self.folder / name).digest] for name in self.names]
        return hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]

    @cached_property
    def starts(self) -> np.ndarray:
        """Place of each file's first row, and the rows of all after them."""
        return np.cumsum([0, *(ParquetReader(self.folder / name).metadata.num_rows for name in self.names)])

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return int(self.starts[-1])

    def pieces(self, *columns: str) -> Iterator[pa.Table]:
        """`id`, `label` and `similarity` of all rows, or some of these columns, in pieces.

        Raises:
            UserError: for a file that is damaged, or of another clustering.
        """
        for name in self.names:
            yield from self._pieces(name, columns)

    def following(self, place: int, *columns: str) -> Iterator[pa.Table]:
        """As `pieces`, of the rows from a place on."""
        first = int(np.searchsorted(self.starts, place, side="right")) - 1
        passed = int(self.starts[first])
        for name in self.names[first:]:
            for table in self._pieces(name, columns):
                if passed + len(table) > place:
                    yield table.slice(max(place - passed, 0))
                passed += len(table)

    def read(self, start: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels (R,) int64 and similarities (R,) float32 of rows in consecutive places."""
        labels, similarity = np.empty(rows, np.int64), np.empty(rows, np.float32)
        for number in range(int(np.searchsorted(self.starts, start, side="right")) - 1, len(self.names)):
            done = int(self.starts[number]) - start
            if done >= rows:
                break
            for table in self._pieces(self.names[number], (LABEL, SIMILARITY)):
                mine = slice(max(-done, 0), min(rows - done, len(table)))
                if mine.start < mine.stop:
                    into = slice(done + mine.start, done + mine.stop)
                    labels[into], similarity[into] = table[LABEL].to_numpy()[mine], table[SIMILARITY].to_numpy()[mine]
                done += len(table)
        return labels, similarity

    def at(self, places: np.ndarray) -> np.ndarray:
        """Labels (P,) int64 of rows in ascending places (P,)."""
        labels = np.empty(len(places), np.int64)
        for number in np.unique(np.searchsorted(self.starts, places, side="right") - 1).tolist():
            done = int(self.starts[number])
            for table in self._pieces(self.names[number], (LABEL,)):
                first, last = np.searchsorted(places, (done, done + len(table))).tolist()
                labels[first:last] = table[LABEL].to_numpy()[places[first:last] - done]
                done += len(table)
        return labels

    def counts(self) -> np.ndarray:
        """Rows (K,) int64 of each cluster."""
        found = np.zeros(self.clusters, np.int64)
        for table in self.pieces(LABEL):
            found += np.bincount(table[LABEL].to_numpy(), minlength=self.clusters)
        return found

    def _pieces(self, name: str, columns: tuple[str, ...]) -> Iterator[pa.Table]:
        reader = ParquetReader(self.folder / name)
        stored = {ID: ID} | {column: f"{column}_head{self.head}" for column in (LABEL, SIMILARITY)}
        wanted = columns or tuple(stored)
        if missing := {stored[column] for column in wanted} - {*reader.schema.names}:
            raise UserError(f"{self.folder / name} has no column {min(missing)!r}, so it holds no such labels; cluster again")
        for group in range(reader.metadata.num_row_groups):
            table = reader.read_row_group(group, [stored[column] for column in wanted]).select(
                [stored[column] for column in wanted]
            )
            table = table.rename_columns(list(wanted))
            labels = table[LABEL].to_numpy() if LABEL in wanted else np.empty(0)
            if len(labels) and not (labels.min() >= 0 and labels.max() < self.clusters):
                raise UserError(
                    f"{self.folder / name} holds a label outside 0 to {self.clusters - 1}; restore it, or cluster again"
                )
            yield table
