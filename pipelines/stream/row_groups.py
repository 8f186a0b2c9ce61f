"""The row groups of an epoch's windows: each is read once by a task, ahead of its use, and kept while windows need it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import Generic, TypeVar

from pipelines.stream.epoch_order import EpochOrder, Piece, StreamShape

Group = TypeVar("Group")
Span = Sequence[tuple[int, range]]  # numbers and steps of windows that follow each other
LanePieces = Callable[[int], Iterator[tuple[Piece, Group]]]  # a lane's part of a window: its rows, and the row group of each

HELD_BYTES = 512 << 20  # of row groups that a task keeps; where they take more, each window reads its own, one after another
READ_TWICE = 0.05  # of a span's rows, at most, lie in row groups that its neighbours read too
READING_THREADS = 4


@contextmanager
def closing_at_once(pool: ThreadPoolExecutor) -> Iterator[ThreadPoolExecutor]:
    """The pool; after the block, or an error in it, what has not begun is left undone."""
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


class Spans:
    """Windows of an order, cut into spans of so many; none is made before it is asked for."""

    def __init__(self, order: EpochOrder, windows: range, count: int) -> None:
        self._order, self._windows, self._count = order, windows, count

    def __len__(self) -> int:
        return len(range(0, len(self._windows), self._count))

    def __getitem__(self, number: int) -> Span:
        first = range(len(self))[number] * self._count
        return [self._order.window(window) for window in self._windows[first : first + self._count]]


class SpanGroups(Generic[Group]):
    """What each window of a worker's lanes needs.

    Args:
        order: of the epoch.
        lanes: of this worker.
        row_bytes: of a row, in memory.
    """

    def __init__(self, order: EpochOrder, lanes: range, row_bytes: float) -> None:
        self._order, self._lanes = order, lanes
        self._kept = fits(order.shape, order.largest_group, len(lanes), row_bytes)

    def spans(self, start_step: int) -> Spans:
        """The windows that hold `start_step` or a later step, cut into what one task reads after another."""
        window_rows = self._order.shape.window_steps * self._order.shape.lane_rows
        count = max(1, round(self._order.largest_group / (READ_TWICE * window_rows))) if self._kept else 1
        return Spans(self._order, self._order.window_numbers(start_step), count)

    def windows(self, span: Span, read: Callable[[int, int], Group]) -> Iterator[tuple[int, range, LanePieces[Group]]]:
        """(number, steps, pieces of a lane) of each window in turn; `read` reads a row group of a file, in any thread."""
        held: dict[tuple[int, int], Future[Group]] = {}

        def pieces(lane: int) -> Iterator[tuple[Piece, Group]]:
            for piece in plan[lane]:
                place = piece.shard, piece.row_group
                yield piece, held[place].result() if self._kept else read(*place)

        with closing_at_once(ThreadPoolExecutor(READING_THREADS)) as pool:
            for (window, steps, plan), (_, _, following) in pairwise([*self._plans(span), (-1, range(0), {})]):
                ahead = _places(following)
                for place in (*_places(plan), *ahead) if self._kept else ():
                    if place not in held:
                        held[place] = pool.submit(read, *place)
                yield window, steps, pieces
                held = {place: held[place] for place in ahead if place in held}

    def _plans(self, span: Span) -> Iterator[tuple[int, range, dict[int, list[Piece]]]]:
        for window, steps in span:
            yield window, steps, {lane: self._order.pieces(lane, window, steps) for lane in self._lanes}


def fits(shape: StreamShape, largest_group: int, lanes: int, row_bytes: float) -> bool:
    """Whether a task can keep the row groups of a window of so many lanes and of the next one, so that each is read once."""
    rows = 2 * shape.window_steps * shape.lane_rows + 3 * largest_group  # the first and the last reach beyond their windows
    return lanes * rows * row_bytes <= HELD_BYTES


def _places(plan: dict[int, list[Piece]]) -> list[tuple[int, int]]:
    return [(piece.shard, piece.row_group) for pieces in plan.values() for piece in pieces]
