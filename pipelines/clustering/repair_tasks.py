"""The parts of `quorum cluster --exact` that run in Ray tasks, or threads: list rows, fetch them, move them in files of labels.

Each is called with a batch of numbers, `batch["id"]`, of the files in its `todo`. The files say which cluster a row has: nothing
is computed twice that could differ in a last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import torch
from torch import Tensor

from algos.exact.shortlist import Shortlist
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from pipelines.clustering.label_files import LabelFile, changed_rows
from pipelines.clustering.label_pass import row_batches
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader
from pipelines.stream.part_threads import while_wanted

ENTRY = ("cluster", "loss", "place", "owner")  # of a shortlist
SIMILARITIES_LOOKED_AT = {"cpu": 1 << 18, "cuda": 1 << 20}  # together: all of the first ones are listed, unless limits are known


@dataclass(frozen=True)
class Moves:
    """Rows of one head that change their cluster: places (M,) ascending, new labels, similarities (M,) as files have them."""

    places: np.ndarray
    labels: np.ndarray
    similarity: np.ndarray


class Compared(NamedTuple):
    """Some rows' similarities to the clusters that they may join.

    Attributes:
        head: whose clusters these are.
        rows: which of the rows, (n,) int64.
        priced: (n, C) similarities with prices.
        labels: (n,) the rows' own clusters.
        clusters: (n, C) the clusters, or `None` where they are all of the head's; see `Shortlist.add`.
    """

    head: int
    rows: Tensor
    priced: Tensor
    labels: Tensor
    clusters: Tensor | None = None


Compare = Callable[[OnlineConstrainedKMeans, Tensor, Tensor], Iterator[Compared]]  # of rows (b, D) with labels (H, b) in files


def with_all(kmeans: OnlineConstrainedKMeans, rows: Tensor, labels: Tensor) -> Iterator[Compared]:
    """Every row (b, D) with every cluster, head by head."""
    every = torch.arange(len(rows), device=rows.device)
    for head, (priced, mine) in enumerate(zip(kmeans.per_head(kmeans.priced(rows), dim=1), labels, strict=True)):
        yield Compared(head, every, priced, mine)


def within(places: np.ndarray, start: int, rows: int) -> slice:
    """Which of the ascending places lie in `start` to `start + rows - 1`."""
    first, last = np.searchsorted(places, (start, start + rows)).tolist()
    return slice(first, last)


class RowLister:
    """Yields each file's shortlists, of all heads: `head`, `cluster`, `loss`, `place`, `owner` of each entry.

    A batch may bring the limits of the lists that these will be merged into, of all heads one after another, as `limits`.

    Args:
        vectors: the rows.
        todo: the files.
        model: what rows are compared with.
        folder: of the files.
        wanted: widths of each head's list, and its clusters with room, as of `Shortlist`.
        gpu: whether rows are compared on one.
        compare: gives the similarities that count.
    """

    def __init__(
        self,
        vectors: EmbeddingFolder,
        todo: list[LabelFile],
        model: ray.ObjectRef,
        folder: Location,
        wanted: list[tuple[Tensor, Tensor | None]],
        *,
        gpu: bool,
        compare: Compare = with_all,
    ) -> None:
        self.vectors, self.todo, self.model, self.folder, self.wanted = vectors, todo, model, folder, wanted
        self.device, self.compare = "cuda" if gpu else "cpu", compare

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Entries of each file."""
        for number in batch["id"].tolist():
            found = [each.entries() for each in self._list(self.todo[number], batch.get("limits"))]
            heads = np.repeat(np.arange(len(found)), [len(clusters) for clusters, *_ in found])
            columns = (torch.cat(column).numpy(force=True) for column in zip(*found, strict=True))
            yield {"head": heads} | dict(zip(ENTRY, columns, strict=True))

    def _empty(self, widths: Tensor, room: Tensor | None) -> Shortlist:
        return Shortlist(widths.to(self.device), None if room is None else room.to(self.device))

    def _list(self, part: LabelFile, limits: np.ndarray | None) -> list[Shortlist]:
        kmeans = ray.get(self.model).kmeans(self.device)
        owners = _read_labels(self.folder / part.name, len(self.wanted)).to(self.device)
        lists, done, together = [self._empty(*mine) for mine in self.wanted], 0, SIMILARITIES_LOOKED_AT[self.device]
        if limits is not None:
            of_heads = torch.from_numpy(limits.copy()).to(self.device).split([len(widths) for widths, _ in self.wanted])
            for each, mine in zip(lists, of_heads, strict=True):
                each.stay_below(mine)
        for group in part.groups:
            pieces = (torch.from_numpy(piece) for piece, _ in self.vectors.pieces(part.shard, group))
            for piece in while_wanted(few for many in pieces for few in row_batches(kmeans, many, together)):
                mine = torch.arange(done, done + len(piece), device=self.device)
                for head, rows, priced, labels, clusters in self.compare(kmeans, piece, owners[:, mine]):
                    lists[head].add(priced, labels, part.start + mine[rows], clusters)
                done += len(piece)
        return lists


class RowFetcher:
    """Yields `place`, `vector` and `label` (n, H) of some rows of each file."""

    def __init__(self, vectors: EmbeddingFolder, todo: list[LabelFile], places: np.ndarray, folder: Location, heads: int) -> None:
        self.vectors, self.todo, self.places, self.folder, self.heads = vectors, todo, ray.put(places), folder, heads

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of each file, a row group at a time."""
        places = ray.get(self.places)
        for number in batch["id"].tolist():
            part = self.todo[number]
            start, labels = part.start, _read_labels(self.folder / part.name, self.heads).numpy().T
            for group in part.groups:
                rows = self.vectors.shards[part.shard].row_groups[group]
                mine = places[within(places, start, rows)]
                if len(mine):
                    read = self.vectors.read(part.shard, group, mine - start)[0]
                    yield {"place": mine, "vector": read, "label": labels[mine - part.start]}
                start += rows


class LabelMover:
    """Writes each file of labels anew with its moves, however often it runs; yields its `part` number, and `changed` rows."""

    def __init__(self, todo: list[LabelFile], moves: list[Moves], folder: Location) -> None:
        self.todo, self.moves, self.folder = todo, ray.put(moves), folder

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Change each file."""
        moves = ray.get(self.moves)
        for number in batch["id"].tolist():
            part = self.todo[number]
            table = ParquetReader(self.folder / part.name).read()
            for head, each in enumerate(moves):
                mine = within(each.places, part.start, part.rows)
                table = _moved(table, head, Moves(each.places[mine] - part.start, each.labels[mine], each.similarity[mine]))
            with (self.folder / part.name).written() as sink:
                pq.write_table(table, sink, write_page_checksum=True)
            yield {"part": np.array([part.number]), "changed": changed_rows(table, len(moves))[None]}


def _moved(table: pa.Table, head: int, moves: Moves) -> pa.Table:
    """The table after the moves of a head, places counted from its first row."""
    for name, values in ((f"label_head{head}", moves.labels), (f"similarity_head{head}", moves.similarity)):
        index = table.schema.get_field_index(name)
        column = table[name].to_numpy().copy()
        column[moves.places] = values
        table = table.set_column(index, table.schema.field(name), pa.array(column))
    return table


def _read_labels(place: Location, heads: int) -> Tensor:
    """Labels (H, R) int64 of a file."""
    table = ParquetReader(place).read([f"label_head{head}" for head in range(heads)])
    return torch.stack([torch.from_numpy(column.to_numpy().astype(np.int64)) for column in table.columns])
