"""How many classes the windows of an epoch hold, where the order of the rows is somebody else's."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from pipelines.errors import UserError
from pipelines.stream.epoch_order import USUAL_WINDOW, EpochOrder, Rows, StreamShape

WINDOWS = 32  # whose classes are counted
LEAST = 0.5  # of the classes of a random sample


def check_mixed(split: Rows, labels: Sequence[int | None], instead: str) -> None:
    """Refuse rows that lie so that the windows of an epoch hold few classes.

    Args:
        split: the rows.
        labels: of each; `None` of one whose class is unknown, of which nothing is said.
        instead: what to do, for the error.

    Raises:
        UserError: with how many classes a window holds, and how many a random sample of its size does.
    """
    known = np.array([-1 if label is None else label for label in labels], dtype=np.int64)
    labelled = known[known >= 0]
    if not len(labelled):
        return
    size = min(USUAL_WINDOW, len(known))
    windows = [window for rows in _windows(split, size) if len(window := known[rows][known[rows] >= 0])]
    if not windows:
        return
    generator = np.random.default_rng(0)
    drawn = np.mean([len(np.unique(generator.choice(labelled, len(window), replace=False))) for window in windows])
    found = np.mean([len(np.unique(window)) for window in windows])
    if found < LEAST * drawn:
        raise UserError(
            f"the rows lie class by class: a window of {size} would hold {found:.1f} classes on average, and a random sample of "
            f"that size holds {drawn:.1f}; {instead}, shuffled"
        )


def _windows(split: Rows, size: int) -> Iterator[np.ndarray]:
    """Places of the rows of some windows of an epoch."""
    order = EpochOrder(split, StreamShape(size, 1, size), seed=0, epoch=0)
    firsts = np.cumsum([0, *(sum(shard.row_groups) for shard in split.shards)])
    starts = [np.cumsum([0, *shard.row_groups]) for shard in split.shards]
    for window, steps in itertools.islice(order.windows(), WINDOWS):
        pieces = order.pieces(0, window, steps)
        yield np.concatenate([firsts[piece.shard] + starts[piece.shard][piece.row_group] + piece.rows for piece in pieces])
