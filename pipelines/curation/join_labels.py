"""`quorum join`: labels beside the rows that they are of, in copies of the rows' own Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.curation.begun_folder import finish, may_take, take
from pipelines.curation.labelled_rows import ID, LABEL, SIMILARITY, LabelledRows
from pipelines.curation.labelled_source import LabelledSource
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST, WHOLE_BYTES, EmbeddingFolder
from pipelines.datasets.id_column import plain_ids
from pipelines.datasets.parquet_files import STREAMED_BYTES
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.one_writer import one_writer
from pipelines.files.parquet_reader import ParquetReader, open_parquet
from pipelines.jobs.deaths import deaths_in_words
from pipelines.jobs.ray_cluster import connect
from pipelines.progress import progress
from pipelines.stream.parts import over_parts

JOINED, JOINED_FORMAT = "_joined.json", 1  # readers of Parquet folders skip names that begin so
CLUSTER = "cluster"
WRITABLE = {"UNCOMPRESSED": "NONE", "LZO": "SNAPPY"}  # pyarrow's name, and what it writes of what it only reads


@dataclass(frozen=True)
class Joined:
    """The copies: their folder, how many files and rows, and the columns that were added."""

    location: Location
    files: int
    rows: int
    columns: list[str]


def join_labels(
    labelled: str, to: str, *, data: str | None = None, head: int | None = None, prefix: str = "", address: str | None = None
) -> Joined:
    """Write copies of the files of a clustering's rows, or an assignment's, with the columns `cluster` and `similarity`.

    Args:
        labelled: folder of a finished `quorum cluster` or `quorum assign`.
        to: an empty or absent folder, or one where the same was begun.
        data: the rows, if they have moved.
        head: whose labels; default all, whose columns then are `cluster_head0` and so on.
        prefix: before the names of the new columns.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.

    Raises:
        UserError: for other rows than were labelled, a column that is there already, or a folder in use.
    """
    source = LabelledSource.open(labelled, data, head)
    vectors, folder = source.vectors, Location.of(to)
    added = _columns(source.heads, prefix)
    names = [name for pair in added for name in pair]
    _check_columns(vectors, names)
    inside = [place for place in (source.folder, *([] if vectors.single else [vectors.location])) if folder.lies_in(place)]
    if inside:
        raise UserError(f"--to {folder} lies in {inside[0]}, whose files are all read as rows; choose another folder")
    plan = {"data": vectors.fingerprint, "labels": source.identity, "columns": names}
    with one_writer(folder):
        keep = may_take(folder, plan, JOINED)
        connect(address)
        with deaths_in_words("quorum join, with the same words"):
            rows = _write(source, added, take(folder, plan), keep=keep)
        manifest = vectors.location / EMBEDDINGS_MANIFEST
        if manifest.exists() and not vectors.single:  # the copies are of the same images
            (folder / EMBEDDINGS_MANIFEST).write_bytes(manifest.read_bytes())
        finish(folder, JOINED, plan | {"rows": rows, "files": len(vectors.shards)}, JOINED_FORMAT)
    return Joined(folder, len(vectors.shards), rows, names)


def _columns(heads: list[LabelledRows], prefix: str) -> list[tuple[str, str]]:
    """Names of the label's and the similarity's column of each head."""
    ends = [""] if len(heads) == 1 else [f"_head{rows.head}" for rows in heads]
    return [(f"{prefix}{CLUSTER}{end}", f"{prefix}{SIMILARITY}{end}") for end in ends]


def _check_columns(vectors: EmbeddingFolder, added: list[str]) -> None:
    for shard in vectors.shards:
        names = open_parquet(vectors.location, shard.path, shard.digest).schema.names
        if taken := [name for name in added if name in names]:
            raise UserError(
                f"{vectors.location}/{shard.path} has a column {taken[0]!r} already; give the new ones another name: --prefix"
            )


def _write(source: LabelledSource, added: list[tuple[str, str]], folder: Location, *, keep: bool) -> int:
    """Write the copies, a task a file; returns the number of rows.

    Raises:
        RuntimeError: if a row was missed or came twice.
    """
    files, rows = len(source.vectors.shards), 0
    for below in {(folder / shard.path).parent for shard in source.vectors.shards}:
        below.delete_cut_off()
    with progress("join", source.vectors.rows, "rows") as bar:
        for batch in over_parts(files, FileJoiner(source.vectors, source.heads, added, folder, keep=keep)):
            rows += int(batch["rows"].sum())
            bar.move_to(rows)
    if rows != source.vectors.rows:
        raise RuntimeError(f"{rows} rows were joined, {source.vectors.rows} expected")
    return rows


class FileJoiner:
    """Writes copies of files with their labels; runs in Ray tasks, and yields the number of `rows` of each file.

    Args:
        vectors: the rows.
        heads: their labels.
        added: names of the two columns of each head.
        folder: of the copies.
        keep: whether a copy that is there stays as it is.
    """

    def __init__(
        self, vectors: EmbeddingFolder, heads: list[LabelledRows], added: list[tuple[str, str]], folder: Location, *, keep: bool
    ) -> None:
        self.vectors, self.heads, self.added, self.folder, self.keep = vectors, heads, added, folder, keep

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """Write the copies of the files whose numbers `batch["id"]` holds."""
        for number in batch["id"].tolist():
            shard = self.vectors.shards[number]
            place = self.folder / shard.path
            if not (self.keep and place.exists()):
                self._copy(number, place)
            yield {"rows": np.array([shard.rows])}

    def _copy(self, number: int, place: Location) -> None:
        shard = self.vectors.shards[number]
        reader = open_parquet(self.vectors.location, shard.path, shard.digest)
        labels = [_Labels(rows, int(self.vectors.starts[number]), self.vectors.id_column) for rows in self.heads]
        place.parent.make()
        with place.written() as sink:
            schema = self._with_labels(reader.schema.empty_table(), labels).schema
            compression = _compression(reader) | {name: "SNAPPY" for pair in self.added for name in pair}
            with pq.ParquetWriter(sink, schema, compression=compression) as writer:
                for table in _tables(reader):
                    whole = pa.Table.from_arrays(self._with_labels(table, labels).columns, schema=schema)
                    writer.write_table(whole, row_group_size=max(len(table), 1))

    def _with_labels(self, table: pa.Table, labels: list[_Labels]) -> pa.Table:
        for mine, names in zip(labels, self.added, strict=True):
            for name, column in zip(names, mine.take(table, self.vectors.location), strict=True):
                table = table.append_column(name, column)
        return table


class _Labels:
    """Labels of one head from a place on, as they are asked for."""

    def __init__(self, rows: LabelledRows, place: int, id_column: str | None) -> None:
        self._id_column = id_column
        self._tables = rows.following(place)
        self._held: list[pa.Table] = []

    def take(self, table: pa.Table, folder: Location) -> list[pa.ChunkedArray]:
        """Labels and similarities of the next rows of a file in a folder.

        Raises:
            UserError: where their ids are not those that were labelled: footers may be equal though rows changed places.
        """
        rows = len(table)
        while sum(map(len, self._held)) < rows:
            self._held.append(next(self._tables))
        whole = pa.concat_tables(self._held) if self._held else None
        if whole is None:
            return [pa.chunked_array([], pa.int32()), pa.chunked_array([], pa.float32())]
        taken, self._held = whole.slice(0, rows), [whole.slice(rows)]
        if self._id_column is not None and not taken[ID].combine_chunks().equals(plain_ids(table[self._id_column])):
            raise UserError(f"{folder} holds rows in other places than when they were labelled; cluster or assign them again")
        return [taken[LABEL], taken[SIMILARITY]]


def _tables(reader: ParquetReader) -> Iterator[pa.Table]:
    """The row groups of a file; one that is too large to be held comes in pieces, which become row groups of their own."""
    for group in range(reader.metadata.num_row_groups):
        size, rows = reader.metadata.row_group(group).total_byte_size, reader.metadata.row_group(group).num_rows
        if size <= WHOLE_BYTES:
            yield reader.read_row_group(group)
            continue
        for batch in reader.batches(group, max(1, int(rows * STREAMED_BYTES / size))):
            yield pa.Table.from_batches([batch])


def _compression(reader: ParquetReader) -> dict[str, str]:
    """How each column of a file is compressed, as its copy is to be."""
    groups = range(min(reader.metadata.num_row_groups, 1))
    columns = [reader.metadata.row_group(0).column(index) for _ in groups for index in range(reader.metadata.num_columns)]
    return {one.path_in_schema: WRITABLE.get(one.compression, one.compression) for one in columns}
