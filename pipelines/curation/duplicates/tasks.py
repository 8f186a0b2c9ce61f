"""The parts of `quorum dedup` that run in Ray tasks: deal rows to their clusters, and compare those of a cluster.

Each is called with a batch of numbers, `batch["id"]`, and yields its part of an index of slices. Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipelines.curation.duplicates.exchange import SLICE, batches, read_slices, write_slices
from pipelines.curation.duplicates.keep_order import PLACE, RANK, KeepOrder
from pipelines.curation.duplicates.nearest_earlier import NONE, nearest_earlier
from pipelines.curation.labelled_rows import LabelledRows
from pipelines.datasets.embedding_folder import EmbeddingFolder, RowSpan, SpoiltRowError, check_rows
from pipelines.files.location import Location

FLUSHED_BYTES = 128 << 20  # of rows that are dealt together
SIMILARITIES_HELD = 1 << 22  # numbers held at once
MOST_FLUSHES = 1 << 20  # of a part
ID, CLUSTER, COMPARED, VECTOR = "id", "cluster", "compared", "vector"
SIMILARITY, DUPLICATE_OF, EARLIER = "similarity", "duplicate_of", "earlier"


@dataclass(frozen=True)
class Dealing:
    """How rows are dealt.

    Attributes:
        vectors: the rows.
        parts: all of them.
        labels: of the rows; `None` deals all to one cluster.
        order: which of two is kept.
        centers: (K, D) of the head's clusters, beside whose own rows others are compared that lie next to them.
        prices: (K,) of these.
        neighbours: clusters besides its own that a row is compared in.
        task_of: (K,) number of the task that compares a cluster.
        folder: of the slices.
    """

    vectors: EmbeddingFolder
    parts: Sequence[RowSpan]
    labels: LabelledRows | None
    order: KeepOrder
    centers: np.ndarray
    prices: np.ndarray
    neighbours: int
    task_of: np.ndarray
    folder: Location

    def write(self, part: RowSpan) -> Iterator[np.ndarray]:
        """Write the rows of a part; yields the index of each file.

        Raises:
            SpoiltRowError: at a row that has none.
        """
        for number, rows in enumerate(batches(self._rows(part), FLUSHED_BYTES)):
            destinations = self.task_of[rows[COMPARED].to_numpy()]
            yield write_slices(self.folder, part.number * MOST_FLUSHES + number, rows, destinations)

    def _rows(self, part: RowSpan) -> Iterator[pa.Table]:
        own, similarity = (np.zeros(part.rows, kind) for kind in (np.int64, np.float32))
        if self.labels is not None:
            own, similarity = self.labels.read(part.start, part.rows)
        for group in part.groups:
            ids, first = self.vectors.read_ids(part.shard, group), self.vectors.first(part.shard, group)
            for vectors, places in self.vectors.pieces(part.shard, group):
                if not len(places):  # row groups may be empty
                    continue
                check_rows(vectors, places)
                here = places - part.start
                done = int(places[0]) - first
                ranks = self.order.ranks(pa.array(similarity[here]), self.vectors, part.shard, group, done)
                columns = {ID: ids.slice(done, len(places)), PLACE: pa.array(places), CLUSTER: pa.array(own[here]), RANK: ranks}
                for compared in self._clusters(vectors, own[here]).T:
                    yield pa.table(columns | {COMPARED: pa.array(compared), VECTOR: _as_lists(vectors)})

    def _clusters(self, vectors: np.ndarray, own: np.ndarray) -> np.ndarray:
        """(R, 1 + neighbours) clusters in which rows are compared, their own first."""
        if not self.neighbours:
            return own[:, None]
        found = np.empty((len(own), 1 + self.neighbours), np.int64)
        found[:, 0] = own
        step = max(SIMILARITIES_HELD // len(self.centers), 1)
        for start in range(0, len(own), step):
            mine = slice(start, start + step)
            priced = vectors[mine] @ self.centers.T + self.prices
            priced[np.arange(len(priced)), own[mine]] = -np.inf
            found[mine, 1:] = np.argpartition(-priced, self.neighbours - 1, axis=1)[:, : self.neighbours]
        return found


class Dealer:
    """Writes the rows of parts for the tasks that compare them; yields `SLICE` and `bad`, a place without direction, or -1."""

    def __init__(self, dealing: Dealing) -> None:
        self.dealing = ray.put(dealing)

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Deal the parts whose numbers `batch["id"]` holds."""
        dealing: Dealing = ray.get(self.dealing)
        for number in batch["id"].tolist():
            try:
                for index in dealing.write(dealing.parts[number]):
                    yield _columns(index) | {"bad": np.full(len(index), NONE)}
            except SpoiltRowError as error:
                yield _columns(np.zeros((1, len(SLICE)), np.int64)) | {"bad": np.array([error.place])}


class Comparer:
    """Compares the rows of clusters; writes what it finds of each for the part that the row is of, and yields `SLICE`.

    Args:
        dealt: index of the dealt slices, a `SliceIndex`.
        rows: folder of these.
        found: folder for what is found.
        order: which of two is kept.
        threshold: cosine of near-duplicates.
        starts: place of each part's first row.
    """

    def __init__(
        self, dealt: Any, rows: Location, found: Location, order: KeepOrder, threshold: float, starts: np.ndarray
    ) -> None:  # fmt: skip
        self.dealt, self.rows, self.found = ray.put(dealt), rows, found
        self.order, self.threshold, self.starts = order, threshold, starts

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Compare the rows that were dealt to the tasks whose numbers `batch["id"]` holds."""
        dealt = ray.get(self.dealt)
        for number in batch["id"].tolist():
            if len(mine := dealt.of(number)):
                found = compare(self.order.sorted(read_slices(self.rows, mine), COMPARED), self.threshold)
                parts = np.searchsorted(self.starts, found[PLACE].to_numpy(), side="right") - 1
                yield _columns(write_slices(self.found, number, found, parts))


def compare(rows: pa.Table, threshold: float) -> pa.Table:
    """The nearest earlier row of each among those of its cluster: `similarity`, its id as `duplicate_of`, its place as `earlier`.

    Args:
        rows: by the cluster they are `compared` in, and in the order in which they are kept.
        threshold: from which on similarities have to be exact.
    """
    vectors = _numbers(rows[VECTOR].combine_chunks())
    compared, places = rows[COMPARED].to_numpy(), rows[PLACE].to_numpy()
    similarity, earlier = np.empty(len(rows), np.float32), np.empty(len(rows), np.int64)
    firsts = [*np.flatnonzero(np.diff(compared, prepend=NONE)).tolist(), len(rows)]
    for first, last in pairwise(firsts):
        similarity[first:last], here = nearest_earlier(vectors[first:last], threshold)
        earlier[first:last] = np.where(here == NONE, NONE, here + first)
    alone = earlier == NONE
    columns = {ID: rows[ID], PLACE: rows[PLACE], CLUSTER: rows[CLUSTER], SIMILARITY: pa.array(similarity)}
    of = rows[ID].take(pa.array(earlier, mask=alone))
    return pa.table(columns | {DUPLICATE_OF: of, EARLIER: pa.array(np.where(alone, NONE, places[earlier]))})


def _as_lists(vectors: np.ndarray) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _numbers(lists: pa.Array) -> np.ndarray:
    lists = lists.combine_chunks() if isinstance(lists, pa.ChunkedArray) else lists
    numbers: np.ndarray = lists.flatten().to_numpy().reshape(len(lists), -1)
    return numbers


def _columns(index: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(SLICE, index.T, strict=True))
