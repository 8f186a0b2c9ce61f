"""What a working copy looks like: a function of the vectors and the seed, whatever the number of workers and tasks.

Rows are dealt to parts in blocks of consecutive places: each part gets as many of a block as any other, which ones is random.
Then each part is shuffled. So any part is a sample of all rows, and its size is known before a row is read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from algos.kmeans.metric import Metric
from pipelines.datasets.embedding_folder import EmbeddingFolder, RowSpan, VectorFile
from pipelines.datasets.vector_column import RowForm
from pipelines.files.location import Location

CopyType = Literal["float32", "float16"]
COPY = "working-copy"  # of a run
COLUMN, ID = "embedding", "id"  # of the copy; ids are places in the original
DEAL, SHUFFLE = 1, 2  # what random numbers are for


@dataclass(frozen=True)
class CopyPlan:
    """The copy of a folder's rows.

    Attributes:
        original: the folder, whose rows are read as the copy holds them: directions, or the numbers that are stored.
        location: where the copy is to be.
        dtype: of its numbers.
        seed: of the shuffle.
        part_bytes: of a part, and of the rows that a task deals together, about.
        group_bytes: of a row group, at most.
        block_rows: that are dealt together, about.
    """

    original: EmbeddingFolder
    location: Location
    dtype: CopyType | Literal["float64"]
    seed: int
    part_bytes: int = 64 << 20
    group_bytes: int = 2 << 20
    block_rows: int = 1 << 16

    @classmethod
    def of(cls, vectors: EmbeddingFolder, location: Location, dtype: CopyType, seed: int, metric: Metric) -> CopyPlan:
        """The plan for vectors that are compared by a metric: only for directions is it known what a row will become."""
        if metric == "cosine":
            return cls(vectors, location, dtype, seed)
        held = "float64" if dtype == "float32" and vectors.holds_float64 else "float32"  # what was stored is read once more
        form = RowForm("euclidean", dtype=held)
        return cls(vectors.in_form(form), location, "float64" if held == "float64" else dtype, seed)

    @property
    def rows(self) -> int:
        """Of the original and the copy."""
        return self.original.rows

    @property
    def bytes(self) -> int:
        """Of the copy, with its ids."""
        return self.rows * (self.original.dim * np.dtype(self.dtype).itemsize + 8)

    @property
    def row_bytes(self) -> int:
        """Of a row while it is dealt."""
        return np.dtype(self.original.form.dtype).itemsize * self.original.dim

    @property
    def parts(self) -> int:
        """Files of the copy."""
        return max(1, round(self.rows * self.row_bytes / self.part_bytes))

    @property
    def block(self) -> int:
        """Rows that are dealt together."""
        return self.parts * max(1, self.block_rows // self.parts)

    @cached_property
    def spans(self) -> list[RowSpan]:
        """The original, as tasks deal it."""
        return self.original.spans(-(-self.part_bytes // self.row_bytes))

    def lots(self, span: RowSpan) -> list[range]:
        """Places of a span that are dealt together into one file."""
        sizes = even(span.rows, max(1, round(span.rows * self.row_bytes / self.part_bytes)))
        borders = itertools.accumulate(sizes, initial=span.start)
        return list(itertools.starmap(range, itertools.pairwise(borders)))

    @property
    def all_lots(self) -> Iterator[range]:
        """Those of all spans, in the order of their places."""
        return (lot for span in self.spans for lot in self.lots(span))

    def deal(self, places: range) -> np.ndarray:
        """The part (R,) of each row."""
        dealt = []
        for number in range(places.start // self.block, -(-places.stop // self.block)):
            first = number * self.block
            parts = self._generator(DEAL, number).permutation(min(self.block, self.rows - first)) % self.parts
            dealt.append(parts[max(places.start - first, 0) : places.stop - first])
        return np.concatenate(dealt)

    def part_rows(self, part: int) -> int:
        """Rows of a part."""
        whole, rest = divmod(self.rows, self.block)
        return whole * (self.block // self.parts) + rest // self.parts + (part < rest % self.parts)

    def order(self, part: int) -> np.ndarray:
        """Where in a part each of its rows goes, which come by their places."""
        return self._generator(SHUFFLE, part).permutation(self.part_rows(part))

    def row_groups(self, part: int) -> tuple[int, ...]:
        """Rows of each row group of a part, as even as can be."""
        rows = self.part_rows(part)
        return even(rows, -(-rows // self.group_rows))

    @property
    def group_rows(self) -> int:
        """Rows of a row group, at most."""
        return max(1, self.group_bytes // self.row_bytes)

    def planned(self) -> EmbeddingFolder:
        """The copy as it will be opened, but for the digests of its files."""
        files = [VectorFile(part_name(part), "", self.row_groups(part)) for part in range(self.parts)]
        finished = self.dtype == "float32" and self.original.form.metric == "cosine"
        return EmbeddingFolder(self.location, COLUMN, ID, self.original.dim, files, finished=finished, copy_of=self.original)

    def _generator(self, use: int, number: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, 0, 0, 0, use, 1 + number))


def even(rows: int, count: int) -> tuple[int, ...]:
    """Rows in so many parts, whose sizes differ by one at most."""
    return tuple((index + 1) * rows // count - index * rows // count for index in range(count))


def part_name(part: int) -> str:
    """The file of a part."""
    return f"part-{part:06d}.parquet"


def lot_name(lot: range) -> str:
    """The file of the rows of a lot, dealt to the parts."""
    return f"rows-{lot.start:012d}.arrow"
