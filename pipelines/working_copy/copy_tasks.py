"""The parts of a working copy's making that run in Ray tasks: deal rows to parts, then put each part together.

Each is called with a batch of numbers, `batch["id"]`, of its `todo`, and holds some 64 MB of rows at a time. Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.embedding_folder import RowSpan, first_spoilt
from pipelines.datasets.vector_column import as_lists
from pipelines.files.location import Location
from pipelines.files.storage_errors import patiently
from pipelines.working_copy.copy_plan import COLUMN, ID, CopyPlan, lot_name, part_name

WHOLE, NO_DIRECTION, TOO_LARGE = 0, 1, 2  # what is said of a row


class RowDealer:
    """Deals spans of the original; yields, for each file that it wrote or found, `rows`, `fault` and `place` of a bad row.

    A row group is read once from its start to its end, in pieces.

    Args:
        plan: of the copy.
        todo: spans to deal.
        folder: where dealt rows go.
        done: files that are there already.
    """

    def __init__(self, plan: CopyPlan, todo: list[RowSpan], folder: Location, done: frozenset[str]) -> None:
        self.plan, self.todo, self.folder, self.done = plan, todo, folder, done

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Deal the spans."""
        for number in batch["id"].tolist():
            yield from self._deal(self.todo[number])

    def _deal(self, span: RowSpan) -> Iterator[dict[str, np.ndarray]]:
        pieces = (piece for group in span.groups for piece in self.plan.original.pieces(span.shard, group))
        dim, kind = self.plan.original.dim, self.plan.original.form.dtype
        left = np.empty((0, dim), kind)
        for lot in self.plan.lots(span):
            held, filled = np.empty((len(lot), dim), kind), 0
            while filled < len(lot):
                if not len(left):
                    left, places = next(pieces)
                    if (bad := first_spoilt(left, places)) is not None:
                        yield _told(0, NO_DIRECTION, bad)
                        return
                take = min(len(left), len(lot) - filled)
                held[filled : filled + take], left = left[:take], left[take:]
                filled += take
            if lot_name(lot) not in self.done:
                with np.errstate(over="ignore"):
                    numbers = held.astype(self.plan.dtype, copy=False)
                if (large := first_too_large(numbers)) is not None:
                    yield _told(0, TOO_LARGE, lot.start + large)
                    return
                self._write(lot, numbers)
            yield _told(len(lot), WHOLE, -1)

    def _write(self, lot: range, rows: np.ndarray) -> None:
        """A record batch for each part, so that each is read alone."""
        dealt = self.plan.deal(lot)
        order = np.argsort(dealt, kind="stable")
        ends = np.cumsum(np.bincount(dealt, minlength=self.plan.parts)).tolist()
        schema = copy_schema(self.plan.original.dim, self.plan.dtype)
        with (self.folder / lot_name(lot)).written() as sink, pa.ipc.new_file(sink, schema) as writer:
            for first, last in pairwise([0, *ends]):
                mine = order[first:last]
                writer.write_batch(record_batch(rows[mine], lot.start + mine, schema))


class PartMaker:
    """Puts parts together out of the dealt rows and shuffles each; yields `part` and `rows`.

    Args:
        plan: of the copy.
        todo: parts to write.
        folder: of the dealt rows.
    """

    def __init__(self, plan: CopyPlan, todo: list[int], folder: Location) -> None:
        self.plan, self.todo, self.folder = plan, todo, folder

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Write the parts."""
        for number in batch["id"].tolist():
            yield {"part": np.array([self.todo[number]]), "rows": np.array([self._make(self.todo[number])])}

    def _make(self, part: int) -> int:
        order, dim = self.plan.order(part), self.plan.original.dim
        rows, places, filled = np.empty((len(order), dim), self.plan.dtype), np.empty(len(order), np.int64), 0
        for lot in self.plan.all_lots:
            found = _read_dealt(self.folder / lot_name(lot), part)
            to = order[filled : filled + found.num_rows]
            if len(to) != found.num_rows:
                break  # more rows than are planned: the count tells
            rows[to] = as_lists(found[COLUMN]).flatten().to_numpy().reshape(-1, dim)
            places[to] = found[ID].to_numpy()
            filled += found.num_rows
        if filled != len(order):
            raise RuntimeError(f"part {part} of {self.plan.location} has {filled} rows dealt, {len(order)} are planned")
        self._write(part, rows, places)
        return filled

    def _write(self, part: int, rows: np.ndarray, places: np.ndarray) -> None:
        schema, first = copy_schema(rows.shape[1], self.plan.dtype), 0
        # Neither compression nor dictionaries shorten such numbers; they are read in every pass.
        options = {"compression": "none", "use_dictionary": False, "write_statistics": [ID], "write_page_checksum": True}
        with (self.plan.location / part_name(part)).written() as sink, pq.ParquetWriter(sink, schema, **options) as writer:
            for count in self.plan.row_groups(part):
                mine = slice(first, first + count)
                writer.write_batch(record_batch(rows[mine], places[mine], schema), row_group_size=count)
                first += count


def copy_schema(dim: int, dtype: str) -> pa.Schema:
    """Of a copy: nothing in it is ever null, so nothing is stored to say so."""
    number = pa.field("element", pa.from_numpy_dtype(np.dtype(dtype)), nullable=False)
    return pa.schema(
        [pa.field(ID, pa.int64(), nullable=False), pa.field(COLUMN, pa.list_(number, dim), nullable=False)]
    )  # fmt: skip


def record_batch(rows: np.ndarray, places: np.ndarray, schema: pa.Schema) -> pa.RecordBatch:
    """Rows (R, D) and their places (R,)."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(rows).reshape(-1)), type=schema.field(COLUMN).type)
    return pa.RecordBatch.from_arrays([pa.array(places), vectors], schema=schema)


def first_too_large(numbers: np.ndarray) -> int | None:
    """The first row with a number beyond its type; `None` where there is none."""
    large = np.isinf(numbers).any(axis=1)
    return int(large.argmax()) if large.any() else None


def _read_dealt(place: Location, part: int) -> pa.RecordBatch:
    def read() -> pa.RecordBatch:
        with place.filesystem.open_input_file(place.path) as file:
            return pa.ipc.open_file(file).get_batch(part)

    return patiently(read)


def _told(rows: int, fault: int, place: int) -> dict[str, np.ndarray]:
    return {"rows": np.array([rows]), "fault": np.array([fault]), "place": np.array([place])}
