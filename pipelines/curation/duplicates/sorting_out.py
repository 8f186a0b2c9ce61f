"""What was found of each row, from all clusters it was compared in, becomes two lists: rows to keep, and near-duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.curation.duplicates.exchange import SliceIndex, read_slices
from pipelines.curation.duplicates.groups import group_sizes, kept_ends
from pipelines.curation.duplicates.keep_order import PLACE
from pipelines.curation.duplicates.tasks import CLUSTER, DUPLICATE_OF, EARLIER, ID, SIMILARITY
from pipelines.datasets.embedding_folder import RowSpan
from pipelines.files.location import Location

KEPT, REMOVED = "kept.parquet", "removed.parquet"
MAX_SIMILARITY, GROUP_SIZE = "max_similarity", "group_size"


@dataclass(frozen=True)
class Findings:
    """What was found, in slices by part.

    Attributes:
        folder: of the slices.
        index: of them.
        parts: the rows.
        threshold: cosine of near-duplicates.
        clustered: whether rows have clusters.
    """

    folder: Location
    index: SliceIndex
    parts: Sequence[RowSpan]
    threshold: float
    clustered: bool

    def write(self, to: Location) -> dict[str, int]:
        """Write `kept.parquet` and `removed.parquet` in the order of the data; returns what they come to.

        Of a removed row some 50 bytes are held, and twice that while groups are counted.

        Raises:
            RuntimeError: if a row is missing.
        """
        gone = [(table[PLACE].to_numpy(), table[EARLIER].to_numpy()) for table in map(self._removed, self._merged())]
        removed, earlier = (np.concatenate([np.empty(0, np.int64), *each]) for each in zip(*gone, strict=True))
        ends = kept_ends(removed, earlier)
        sizes, done = group_sizes(ends), 0
        with (to / KEPT).written() as kept_file, (to / REMOVED).written() as removed_file:
            kept, away = _Writer(kept_file), _Writer(removed_file)
            for table in self._merged():
                kept.write(self._kept(table))
                mine = self._removed(table)
                columns = {name: mine[name] for name in (ID, DUPLICATE_OF, SIMILARITY, CLUSTER)}
                away.write(pa.table(columns | {GROUP_SIZE: sizes[done : done + len(mine)]}))
                done += len(mine)
            kept.close()
            away.close()
        return {
            "rows": kept.rows + away.rows, "kept": kept.rows, "removed": away.rows, "groups": len(np.unique(ends)),
            "largest_group": int(sizes.max(initial=1)),
        }  # fmt: skip

    def _merged(self) -> Iterator[pa.Table]:
        """The rows of each part by their places, with the greatest similarity of all clusters."""
        for part in self.parts:
            table = read_slices(self.folder, self.index.of(part.number))
            keys = (table[EARLIER].to_numpy(), -table[SIMILARITY].to_numpy(), table[PLACE].to_numpy())
            order = np.lexsort(keys)
            places = keys[-1][order]
            table = table.take(pa.array(order[np.flatnonzero(np.diff(places, prepend=-1))]))
            if not np.array_equal(table[PLACE].to_numpy(), np.arange(part.start, part.start + part.rows)):
                raise RuntimeError(f"{len(table)} rows of part {part.number} were compared, {part.rows} expected, each once")
            yield (
                table
                if self.clustered
                else table.set_column(table.schema.get_field_index(CLUSTER), CLUSTER, pa.nulls(len(table), pa.int64()))
            )

    def _removed(self, table: pa.Table) -> pa.Table:
        return table.filter(pa.array(table[SIMILARITY].to_numpy() >= np.float32(self.threshold)))

    def _kept(self, table: pa.Table) -> pa.Table:
        similarity = table[SIMILARITY].to_numpy()
        mine = similarity < np.float32(self.threshold)
        nearest = pa.array(similarity[mine], mask=np.isneginf(similarity[mine]))
        return pa.table(
            {ID: table[ID].filter(pa.array(mine)), CLUSTER: table[CLUSTER].filter(pa.array(mine)), MAX_SIMILARITY: nearest}
        )


class _Writer:
    """A Parquet file, a table after another; it has its columns even where there is no row."""

    def __init__(self, sink: Any) -> None:
        self._sink, self.rows = sink, 0
        self._writer: Any = None

    def write(self, table: pa.Table) -> None:
        self._writer = self._writer or pq.ParquetWriter(self._sink, table.schema)
        self._writer.write_table(table)
        self.rows += len(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
