"""The order of an epoch: a pure function of (seed, epoch) and the shards, whatever the number of workers.

The row groups are permuted and laid end to end. The first `steps * batch_size` rows of that line are cut into *lanes* of equal
length; every global batch takes the same number of rows from each lane, and a worker reads whole lanes. So a worker never
reads what another one needs, and the content of global batch s is the same for any worker count up to the number of lanes.
Within a lane, rows are shuffled inside windows of a few steps, so that a read of one row group serves a whole window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipelines.errors import UserError

ORDER_VERSION = "1"  # raised when the same seed gives another order; each run keeps it
USUAL_WINDOW = 256  # rows of a lane


class Grouped(Protocol):
    """A file of row groups; `row_groups` has the rows of each."""

    @property
    def row_groups(self) -> Sequence[int]:
        """Rows of each row group."""


class Rows(Protocol):
    """Files of row groups: a split of a data set, or a folder of vectors."""

    @property
    def rows(self) -> int:
        """Rows of all files."""

    @property
    def shards(self) -> Sequence[Grouped]:
        """The files, in an order that is always the same."""


@dataclass(frozen=True)
class Piece:
    """Rows of one row group that a window needs: where they lie and which places of the window they fill."""

    shard: int
    row_group: int
    rows: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class StreamShape:
    """How an epoch is cut; part of a run's identity, because the content of its batches follows from it.

    Attributes:
        batch_size: rows of a global batch, a multiple of `lanes`.
        lanes: most workers that can share a run.
        window: rows of a lane that are shuffled together, at least.
        labelled: labelled rows that come with each batch, a multiple of `lanes` too.
    """

    batch_size: int
    lanes: int
    window: int
    labelled: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be cut evenly."""
        if self.lanes >= 1 and self.labelled % self.lanes:
            raise UserError(
                f"{self.labelled} labelled images a step are not a multiple of stream.lanes {self.lanes}; "
                "change batch_size or stream.lanes"
            )
        if self.lanes < 1 or self.batch_size % self.lanes:
            raise UserError(
                f"batch_size {self.batch_size} is not a multiple of stream.lanes {self.lanes}; change one of them "
                f"(lanes is the largest worker count that the run can use)"
            )

    @property
    def lane_rows(self) -> int:
        """Rows of a lane in a global batch."""
        return self.batch_size // self.lanes

    def steps(self, rows: int) -> int:
        """Global batches of an epoch over so many rows; the rest is left out, another one each epoch."""
        return rows // self.batch_size

    @property
    def lane_labelled(self) -> int:
        """Labelled rows of a lane in a global batch."""
        return self.labelled // self.lanes

    @property
    def window_steps(self) -> int:
        """Steps whose rows of one lane are shuffled together."""
        return max(1, -(-self.window // self.lane_rows))


class EpochOrder:
    """Which rows make each step of epoch `epoch`.

    Args:
        split: the shards, or other files of row groups.
        shape: how to cut them.
        seed: of the run.
        epoch: 0-based.

    Raises:
        UserError: when the split holds less than one global batch.
    """

    def __init__(self, split: Rows, shape: StreamShape, *, seed: int, epoch: int) -> None:
        self.shape, self.seed, self.epoch = shape, seed, epoch
        self.steps = shape.steps(split.rows)
        if self.steps == 0:
            raise UserError(f"batch_size {shape.batch_size} exceeds the {split.rows} rows of the split; choose a smaller one")
        self.left_out = split.rows - self.steps * shape.batch_size
        groups = np.array(
            [(s, g, rows) for s, shard in enumerate(split.shards) for g, rows in enumerate(shard.row_groups)], dtype=np.int64
        )
        self._groups = groups[np.random.default_rng((seed, epoch)).permutation(len(groups))]
        self._starts = np.concatenate([[0], self._groups[:, 2].cumsum()])
        self.largest_group = int(self._groups[:, 2].max())

    def generator(self, lane: int, window: int, *, use: int = 0) -> np.random.Generator:
        """Random numbers of one window; a function of (seed, epoch, lane, window) and of what they are used for."""
        return np.random.default_rng((self.seed, self.epoch, 1 + lane, window, use))

    def step_generator(self, step: int) -> np.random.Generator:
        """Random numbers of one global batch, the same on every worker."""
        return np.random.default_rng((self.seed, self.epoch, 0, 1 + step))

    def labelled_rows(self, lane: int, step: int, count: int) -> np.ndarray:
        """Which of `count` labelled rows (indices) a lane takes in a step: one permutation of them after another."""
        first = step * self.shape.labelled + lane * self.shape.lane_labelled
        laps, places = np.divmod(np.arange(first, first + self.shape.lane_labelled), count)
        rows = np.empty(len(places), np.int64)
        for lap in np.unique(laps).tolist():
            order = np.random.default_rng((self.seed, self.epoch, 0, 0, lap)).permutation(count)
            rows[laps == lap] = order[places[laps == lap]]
        return rows

    def windows(self, start_step: int = 0) -> Iterator[tuple[int, range]]:
        """(index, steps) of each window that holds `start_step` or a later step."""
        size = self.shape.window_steps
        for index in range(start_step // size, -(-self.steps // size)):
            yield index, range(index * size, min((index + 1) * size, self.steps))

    def pieces(self, lane: int, window: int, steps: range) -> list[Piece]:
        """What to read for one lane's part of a window; its places are rows in step order."""
        rows = len(steps) * self.shape.lane_rows
        first = (lane * self.steps + steps.start) * self.shape.lane_rows
        line = np.arange(first, first + rows)
        groups = np.searchsorted(self._starts, line, side="right") - 1
        places = self.generator(lane, window).permutation(rows)
        pieces = []
        for group in np.unique(groups):
            mine = groups == group
            shard, row_group, _ = self._groups[group].tolist()
            pieces.append(Piece(shard, row_group, line[mine] - self._starts[group], places[mine]))
        return pieces


def step_column(step: int, rows: int) -> dict[str, np.ndarray]:
    """The column that says which step rows belong to: by it the order of batches is checked where they arrive."""
    return {"step": np.full(rows, step, np.int32)}


def lanes_of_worker(lanes: int, rank: int, workers: int) -> range:
    """The lanes that one worker reads; consecutive, and as even as can be.

    Raises:
        UserError: for more workers than lanes.
    """
    if workers > lanes:
        raise UserError(
            f"{workers} workers, but stream.lanes is {lanes}; set stream.lanes (a divisor of batch_size) to at least the workers"
        )
    return range(rank * lanes // workers, (rank + 1) * lanes // workers)
