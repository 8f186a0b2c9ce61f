"""The part of a stream of vectors that runs in Ray Data tasks, free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from pipelines.datasets.embedding_folder import EmbeddingFolder, unit_rows
from pipelines.stream.epoch_order import EpochOrder, Piece, step_column
from pipelines.stream.ray_data import BLOCK_BYTES
from pipelines.stream.row_groups import Span, SpanGroups


class VectorReader:
    """Reads, normalises and shuffles the windows of some lanes.

    Called with a batch of span numbers, yields the rows of each of their steps as columns `step`, `id` (places) and `vector`.
    """

    def __init__(self, vectors: EmbeddingFolder, order: EpochOrder, lanes: range, start_step: int = 0) -> None:
        self.vectors, self.order, self.lanes, self.start_step = vectors, order, lanes, start_step
        self.groups: SpanGroups[tuple[pa.Array, int]] = SpanGroups(order, lanes, 8 * vectors.dim)
        self.spans = self.groups.spans(start_step)
        self.finish, self.block_bytes = None, BLOCK_BYTES

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the windows of the spans whose numbers `batch["id"]` holds, a step at a time."""
        for number in batch["id"].tolist():
            yield from self._steps(self.spans[number])

    def _steps(self, span: Span) -> Iterator[dict[str, np.ndarray]]:
        rows = self.order.shape.lane_rows
        for _, steps, pieces in self.groups.windows(span, self.vectors.read_stored):
            lanes = [self._read(pieces(lane), len(steps) * rows) for lane in self.lanes]
            for index, step in enumerate(steps):
                if step >= self.start_step:
                    mine = slice(index * rows, (index + 1) * rows)
                    yield step_column(step, rows * len(self.lanes)) | {
                        "id": np.concatenate([places[mine] for _, places in lanes]),
                        "vector": np.concatenate([vectors[mine] for vectors, _ in lanes]),
                    }

    def _read(self, pieces: Iterable[tuple[Piece, tuple[pa.Array, int]]], rows: int) -> tuple[np.ndarray, np.ndarray]:
        """One lane's vectors of a window in step order, and their places."""
        vectors, places = np.empty((rows, self.vectors.dim), np.float32), np.empty(rows, np.int64)
        for piece, (stored, first) in pieces:
            vectors[piece.places] = unit_rows(stored.take(pa.array(piece.rows)), self.vectors.dim)
            places[piece.places] = first + piece.rows
        return vectors, places
