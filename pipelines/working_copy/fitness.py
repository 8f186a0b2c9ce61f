"""Whether a stream can read files of vectors as they are: row groups that tasks can keep, and rows in no order.

A batch takes rows from few row groups. Where the rows of a group resemble each other - files by class, by cluster, by time -
it is a cluster sample, worth less than as many rows at random by the *design effect*: 1 + (rows of a group in the batch - 1) x
(intraclass correlation). Free of torch.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.stream.epoch_order import StreamShape
from pipelines.stream.row_groups import fits

MOST_EFFECT = 2.0  # a batch is worth at least half of its rows
STRETCHES, STRETCH_ROWS = 32, 256  # of the sample: rows that follow each other, and how many of them are looked at
CHANCE = 6.0  # standard errors of a correlation among shuffled rows
READERS = 8


@dataclass(frozen=True)
class Likeness:
    """How much rows that follow each other are alike.

    Attributes:
        correlation: share of the rows' variance that lies between stretches; 0 in expectation for shuffled rows.
        error: a bound on its standard error where rows are shuffled.
    """

    correlation: float
    error: float


def why_unfit(vectors: EmbeddingFolder, shape: StreamShape, group_rows: int) -> str | None:
    """Why a shuffled copy with row groups of `group_rows` should be streamed instead, as a clause; `None` where it need not.

    Args:
        vectors: the files.
        shape: how a pass over them would be cut.
        group_rows: of a copy.
    """
    largest = max(max(file.row_groups, default=0) for file in vectors.shards)
    row_bytes = 8 * vectors.dim
    if largest > group_rows and (vectors.large_groups or not fits(shape, largest, shape.lanes, row_bytes)):
        return f"row groups of up to {largest:,} rows are too large for the windows of {shape.lanes} lanes"
    effect = design_effect(vectors, shape)
    if effect > MOST_EFFECT:
        return f"its rows are in an order, which makes batches of few kinds (a batch is worth 1/{effect:.0f} of its rows)"
    return None


def design_effect(vectors: EmbeddingFolder, shape: StreamShape) -> float:
    """By how much the mean of a batch varies more than that of as many rows at random; 1 where chance may be the reason."""
    lane = vectors.rows // shape.lanes
    window = max(1, min(shape.window_steps * shape.lane_rows, lane))
    groups = sum(len([rows for rows in file.row_groups if rows]) for file in vectors.shards)
    stretch = max(1, min(window, vectors.rows // max(groups, 1)))  # that a lane's window has of a row group
    stretches = shape.lanes * window / stretch  # in a batch
    most = (shape.batch_size / stretches - 1) * (1 - shape.lanes * window / vectors.rows)
    if 1 + most <= MOST_EFFECT:  # however much they are alike
        return 1.0
    alike = likeness(vectors, stretch)
    return 1 + most * alike.correlation if alike.correlation > CHANCE * alike.error else 1.0


def likeness(vectors: EmbeddingFolder, stretch: int) -> Likeness:
    """Likeness of rows within stretches of so many that follow each other in a row group, on a sample; the same every time."""
    sums, counts, squares = np.zeros((0, vectors.dim)), np.zeros(0, np.int64), 0.0
    random = np.random.default_rng(0)
    groups = [(s, g) for s, file in enumerate(vectors.shards) for g, rows in enumerate(file.row_groups) if rows > 1]
    chosen = sorted(random.permutation(len(groups))[:STRETCHES].tolist())
    each = -(-STRETCHES // max(len(chosen), 1))
    held = [vectors.shards[shard].row_groups[group] for shard, group in (groups[one] for one in chosen)]
    picked = [[_some_rows(rows, stretch, random) for _ in range(each)] for rows in held]
    with ThreadPoolExecutor(READERS) as pool:
        read = pool.map(lambda one, rows: vectors.read(*groups[one], np.concatenate(rows))[0], chosen, picked)
        for rows, mine in zip(read, picked, strict=True):
            for part in np.split(rows.astype(np.float64), np.cumsum([len(one) for one in mine])[:-1]):
                whole = part[~np.isnan(part).any(axis=1)]
                sums, counts = np.vstack([sums, whole.sum(axis=0)]), np.append(counts, len(whole))
                squares += float((whole**2).sum())
    return _likeness(sums, counts, squares)


def _some_rows(rows: int, stretch: int, random: np.random.Generator) -> np.ndarray:
    """Some of the rows of one stretch of a row group."""
    stretch = min(stretch, rows)
    start = int(random.integers(rows - stretch + 1))
    return start + np.sort(random.permutation(stretch)[:STRETCH_ROWS])


def _likeness(sums: np.ndarray, counts: np.ndarray, total: float) -> Likeness:
    """Of sums (S, D) of the rows of stretches, their counts (S,) and the total of their squares: by mean products of two rows."""
    own = float((counts * (counts - 1)).sum())
    others = float(counts.sum() ** 2 - (counts**2).sum())
    if not own or not others:
        return Likeness(0.0, 1.0)
    squares = float((sums**2).sum())
    within = (squares - total) / own
    between = (float((sums.sum(axis=0) ** 2).sum()) - squares) / others
    spread = max(total / int(counts.sum()) - between, 1e-12)
    return Likeness((within - between) / spread, (2 / own) ** 0.5)
