"""The part of a stream of vectors that runs in Ray Data tasks, free of torch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.stream.epoch_order import EpochOrder, step_column


class VectorReader:
    """Reads, normalises and shuffles one window of some lanes.

    Called with a batch of window numbers, yields the rows of each of their steps as columns `step`, `id` (places) and `vector`.
    """

    def __init__(self, vectors: EmbeddingFolder, order: EpochOrder, lanes: range, start_step: int = 0) -> None:
        self.vectors, self.order, self.lanes, self.start_step = vectors, order, lanes, start_step
        self.windows = list(order.windows(start_step))

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Rows of the windows whose numbers `batch["id"]` holds, a step at a time."""
        rows = self.order.shape.lane_rows
        for number in batch["id"].tolist():
            window, steps = self.windows[number]
            lanes = [self._read(lane, window, steps) for lane in self.lanes]
            for index, step in enumerate(steps):
                if step >= self.start_step:
                    mine = slice(index * rows, (index + 1) * rows)
                    yield step_column(step, rows * len(self.lanes)) | {
                        "id": np.concatenate([places[mine] for _, places in lanes]),
                        "vector": np.concatenate([vectors[mine] for vectors, _ in lanes]),
                    }

    def _read(self, lane: int, window: int, steps: range) -> tuple[np.ndarray, np.ndarray]:
        """One lane's vectors of a window in step order, and their places."""
        rows = len(steps) * self.order.shape.lane_rows
        vectors, places = np.empty((rows, self.vectors.dim), np.float32), np.empty(rows, np.int64)
        for piece in self.order.pieces(lane, window, steps):
            vectors[piece.places], places[piece.places] = self.vectors.read(piece.shard, piece.row_group, piece.rows)
        return vectors, places
