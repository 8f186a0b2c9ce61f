"""The work on each row of a batch, shared by threads that take piece after piece.

On a CPU this bears company: where another process takes a core for a while, the threads on the others go on, while torch's own
threads would all wait for the one without a core. Each operator then has one thread, `torch.set_num_threads(1)`. A GPU takes a
batch whole. Every row's numbers, and the sums, are those of one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans

PIECES = 4  # for each thread
LEAST_ROWS = 256  # of a piece
MOST_NUMBERS = 1 << 22  # of a piece's similarities, or of the centers of its rows
Given = TypeVar("Given")
Result = TypeVar("Result")


class RowThreads:
    """Threads for the rows of batches.

    Args:
        count: of the threads; 1 for the caller's own.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count) if count > 1 else None

    def label(self, kmeans: OnlineConstrainedKMeans, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Labels (H, B) int64 of rows (B, D) under the clustering's centers and prices, and similarities without prices."""

        def of(piece: Tensor) -> tuple[Tensor, Tensor]:
            labels = kmeans.assign(piece)
            return labels, kmeans.similarity(piece, labels)

        whole, count = rows.device.type == "cuda", self._pieces(len(rows), kmeans.numbers_per_row, kmeans.rows_together)
        pieces = [rows] if whole else rows.tensor_split(count)
        labels, similarity = zip(*self._map(of, pieces), strict=True)
        return torch.cat(labels, dim=1), torch.cat(similarity, dim=1)

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def _pieces(self, rows: int, width: int, together: int = 1) -> int:
        """Even ones: the product of a single row is another routine's, with other last bits."""
        shared = min(PIECES * self.count, rows // max(LEAST_ROWS, together)) if self.count > 1 else 1
        return max(shared, -(-rows * width // MOST_NUMBERS), 1)

    def _map(self, call: Callable[[Given], Result], pieces: Iterable[Given]) -> Iterable[Result]:
        return map(call, pieces) if self._pool is None else self._pool.map(call, pieces)
