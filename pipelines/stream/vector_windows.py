"""The part of a stream of vectors that runs in Ray Data tasks, free of torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.stream.epoch_order import EpochOrder, step_column
from pipelines.stream.ray_data import BLOCK_BYTES
from pipelines.stream.row_groups import LanePieces, Span, SpanGroups


class VectorReader:
    """Reads and shuffles the windows of some lanes.

    Called with a batch of span numbers, yields the rows of each of their steps as columns `step`, `id` (places) and `vector`.
    """

    def __init__(self, vectors: EmbeddingFolder, order: EpochOrder, lanes: range, start_step: int = 0) -> None:
        self.vectors, self.order, self.lanes, self.start_step = vectors, order, lanes, start_step
        self.groups: SpanGroups[pa.Array | None] = SpanGroups(order, lanes, 8 * vectors.dim)
        self.spans = self.groups.spans(start_step)
        self.finish, self.block_bytes = None, BLOCK_BYTES

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the windows of the spans whose numbers `batch["id"]` holds, a step at a time."""
        for number in batch["id"].tolist():
            yield from self._steps(self.spans[number])

    def _steps(self, span: Span) -> Iterator[dict[str, np.ndarray]]:
        rows = self.order.shape.lane_rows
        for _, steps, pieces in self.groups.windows(span, self._stored):
            vectors, places = self._read(pieces, len(steps) * rows)
            for index, step in enumerate(steps):
                if step >= self.start_step:
                    mine = slice(index * rows, (index + 1) * rows)
                    yield step_column(step, rows * len(self.lanes)) | {
                        "id": places[:, mine].reshape(-1),
                        "vector": vectors[:, mine].reshape(-1, self.vectors.dim),
                    }

    def _stored(self, shard: int, group: int) -> pa.Array | None:
        """A row group's vectors; nothing of a large one."""
        return None if self.vectors.is_large(shard, group) else self.vectors.read_stored(shard, group)

    def _read(self, pieces: LanePieces[pa.Array | None], rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The vectors (lanes, rows, D) of a window, each lane's in step order, and their places (lanes, rows)."""
        vectors = np.empty((len(self.lanes), rows, self.vectors.dim), np.float32)
        places = np.empty((len(self.lanes), rows), np.int64)
        large = defaultdict[tuple[int, int], list[tuple[np.ndarray, np.ndarray]]](list)  # rows, and where each goes
        for index, lane in enumerate(self.lanes):
            for piece, stored in pieces(lane):
                places[index, piece.places] = self.vectors.first(piece.shard, piece.row_group) + piece.rows
                if stored is None:
                    large[piece.shard, piece.row_group].append((piece.rows, index * rows + piece.places))
                else:
                    vectors[index, piece.places] = self.vectors.rows_of(stored.take(pa.array(piece.rows)))
        for place, mine in large.items():  # gone through once for all lanes
            wanted, at = (np.concatenate(part) for part in zip(*mine, strict=True))
            self.vectors.pick(*place, wanted, vectors.reshape(-1, self.vectors.dim), at)
        return vectors, places
