"""The order of an epoch: a pure function of (seed, epoch) and the shards, whatever the number of workers.

The row groups are permuted and laid end to end. The first `steps * batch_size` rows of that line are cut into *lanes* of equal
length; every global batch takes the same number of rows from each lane, and a worker reads whole lanes. So a worker never
reads what another one needs, and the content of global batch s is the same for any worker count up to the number of lanes.
Within a lane, rows are shuffled inside windows of a few steps, so that a read of one row group serves a whole window.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from pipelines.errors import UserError

ORDER_VERSION = "1"  # raised when the same seed gives another order; each run keeps it
USUAL_WINDOW = 256  # rows of a lane
PART_GROUPS = 1 << 16  # row groups, about, that are planned together: tasks are sent what they need of these


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
class GroupTable:
    """The row groups of files as arrays: a billion images have tens of millions.

    Attributes:
        rows: of each row group, file after file, (G,) int32.
        firsts: number of each file's first row group, (files + 1,) int64.
    """

    rows: np.ndarray
    firsts: np.ndarray

    @classmethod
    def of(cls, files: Rows) -> GroupTable:
        """Of all row groups of the files."""
        firsts = np.zeros(len(files.shards) + 1, np.int64)

        def each() -> Iterator[int]:
            for number, file in enumerate(files.shards):
                groups = file.row_groups
                firsts[number + 1] = firsts[number] + len(groups)
                yield from groups

        return cls(np.fromiter(each(), np.int32), firsts)

    @cached_property
    def total(self) -> int:
        """Rows of all."""
        return int(self.rows.sum(dtype=np.int64))

    @cached_property
    def largest(self) -> int:
        """Rows of the largest."""
        return int(self.rows.max(initial=0))


@dataclass(frozen=True)
class Line:
    """Row groups laid end to end, or some that follow each other there.

    Attributes:
        numbers: of the row groups, (G,) uint32.
        starts: the first row of each, and the one after all, in the whole line; (G + 1,) int64.
    """

    numbers: np.ndarray
    starts: np.ndarray

    def cut(self, first: int, last: int) -> Line:
        """The row groups that have the rows from the first one to that before the last."""
        begin = int(np.searchsorted(self.starts, first, side="right")) - 1
        end = int(np.searchsorted(self.starts, last, side="left"))
        return Line(self.numbers[begin:end].copy(), self.starts[begin : end + 1].copy())  # not what the whole line takes


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
        files: of row groups: a split's shards or others; or the table of their row groups.
        shape: how to cut them.
        seed: of the run.
        epoch: 0-based.

    Attributes:
        steps: global batches of the epoch.
        end: of its windows; less than `steps` in a part.
        left_out: rows that no step has.
        largest_group: rows of the largest row group.

    Raises:
        UserError: when the split holds less than one global batch.
    """

    def __init__(self, files: Rows | GroupTable, shape: StreamShape, *, seed: int, epoch: int) -> None:
        self.shape, self.seed, self.epoch = shape, seed, epoch
        table = files if isinstance(files, GroupTable) else GroupTable.of(files)
        self.steps = self.end = shape.steps(table.total)
        if self.steps == 0:
            raise UserError(f"batch_size {shape.batch_size} exceeds the {table.total} rows of the split; choose a smaller one")
        self.left_out = table.total - self.steps * shape.batch_size
        self.largest_group = table.largest
        self._firsts = table.firsts
        self._rows: np.ndarray | None = table.rows
        self._lines: dict[int, Line] = {}

    @cached_property
    def _line(self) -> Line:
        """The permuted row groups of all lanes."""
        if self._rows is None:
            raise KeyError("this part of an order has other lanes")
        numbers = np.arange(len(self._rows), dtype=np.uint32)
        np.random.default_rng((self.seed, self.epoch)).shuffle(numbers)
        starts = np.zeros(len(numbers) + 1, np.int64)
        np.cumsum(self._rows[numbers], out=starts[1:])
        return Line(numbers, starts)

    def part(self, lanes: range, steps: range) -> EpochOrder:
        """The order with what some lanes need of it in the windows of some steps, and no more; its windows end with theirs."""
        size = self.shape.window_steps
        end = min(-(-steps.stop // size) * size, self.steps)
        whole = range(steps.start // size * size, end)
        lines = {lane: self._line_of(lane).cut(*self._rows_of(lane, whole)) for lane in lanes}
        part = copy.copy(self)
        part.__dict__.pop("_line", None)
        part.end, part._lines, part._rows = end, lines, None
        return part

    def _line_of(self, lane: int) -> Line:
        line = self._lines.get(lane)
        return self._line if line is None else line

    @property
    def whole(self) -> bool:
        """Whether all lanes and windows are there."""
        return self._rows is not None

    @property
    def files(self) -> np.ndarray:
        """Numbers of the files that it reads of."""
        if self.whole:
            return np.arange(len(self._firsts) - 1)
        return np.unique(self._places_of(np.concatenate([line.numbers for line in self._lines.values()]))[0])

    def _rows_of(self, lane: int, steps: range) -> tuple[int, int]:
        """The first row of a lane in some steps, and the one after the last, in the whole line."""
        first = lane * self.steps
        return (first + steps.start) * self.shape.lane_rows, (first + steps.stop) * self.shape.lane_rows

    def _places_of(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """File and row group there of row groups by their numbers."""
        shards = np.searchsorted(self._firsts, numbers, side="right") - 1
        return shards, numbers - self._firsts[shards]

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
        return map(self.window, self.window_numbers(start_step))

    def window_numbers(self, start_step: int = 0) -> range:
        """Index of each window that holds `start_step` or a later step."""
        size = self.shape.window_steps
        return range(start_step // size, -(-self.end // size))

    def window(self, index: int) -> tuple[int, range]:
        """(index, steps) of one window."""
        size = self.shape.window_steps
        return index, range(index * size, min((index + 1) * size, self.steps))

    def pieces(self, lane: int, window: int, steps: range) -> list[Piece]:
        """What to read for one lane's part of a window; its places are rows in step order."""
        rows = np.arange(*self._rows_of(lane, steps))
        line = self._line_of(lane)
        groups = np.searchsorted(line.starts, rows, side="right") - 1
        places = self.generator(lane, window).permutation(len(rows))
        read = np.unique(groups)
        pieces = []
        for group, shard, row_group in zip(read, *self._places_of(line.numbers[read]), strict=True):
            mine = groups == group
            pieces.append(Piece(int(shard), int(row_group), rows[mine] - line.starts[group], places[mine]))
        return pieces


def step_column(step: int, rows: int) -> dict[str, np.ndarray]:
    """The column that says which step rows belong to: by it the order of batches is checked where they arrive."""
    return {"step": np.full(rows, step, np.int32)}


def steps_of_part(table: GroupTable, shape: StreamShape, lanes: int) -> int:
    """Steps of whole windows that a worker of so many lanes plans together: of a plan that does not grow with the rows."""
    window_rows = lanes * shape.lane_rows * shape.window_steps
    windows = PART_GROUPS * table.total // max(len(table.rows), 1) // window_rows
    return max(1, windows) * shape.window_steps


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
