"""Row groups that follow each other in a file, as a task takes them. Free of torch and Ray."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.datasets.embedding_folder import EmbeddingFolder


@dataclass(frozen=True)
class RowSpan:
    """Row groups of one file of vectors: the span's number, the file's, and the places of its rows."""

    number: int
    shard: int
    groups: range
    start: int
    rows: int


def row_spans(vectors: EmbeddingFolder, least_rows: int) -> list[RowSpan]:
    """All rows in their order, cut between row groups into spans of at least so many rows, but at the end of a file."""
    made, start = list[RowSpan](), 0
    for index, shard in enumerate(vectors.shards):
        first = rows = 0
        for group, more in enumerate(shard.row_groups):
            rows += more
            if rows >= least_rows or (rows and group + 1 == len(shard.row_groups)):
                made.append(RowSpan(len(made), index, range(first, group + 1), start, rows))
                first, start, rows = group + 1, start + rows, 0
    return made
