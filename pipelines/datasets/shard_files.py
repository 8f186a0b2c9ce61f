"""The files of a data set: shards of images with their ids and labels, and indexes of images that lie elsewhere.

A shard row is (id int64, image binary, label int32 or null, split, source).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.datasets.foreign_images import ForeignImages
from pipelines.errors import UserError
from pipelines.files.documents import damage_in_words
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, layout_digest, open_parquet

SHARDS_FORMAT = 1
FOOTER_KEY = b"quorum"
SCHEMA = pa.schema(
    [("id", pa.int64()), ("image", pa.binary()), ("label", pa.int32()), ("split", pa.string()), ("source", pa.string())]
)
INDEX_SCHEMA = pa.schema([field for field in SCHEMA if field.name != "image"])
ROW_GROUP_BYTES = 4 << 20
ROW_GROUP_ROWS = (16, 128)  # fewer make reads slow, more make a shuffle window coarse
INGEST_AGAIN = "ingest the source again"


@dataclass(frozen=True)
class Shard:
    """One Parquet file: its path below the data set, size in bytes, rows, and rows of a row group (the last may be short).

    `images`: where they lie, if not in it; its row groups are theirs then. `layout`: as `layout_digest` has it, which tells the
    file from another of its size; empty where an earlier version wrote the manifest.
    """

    path: str
    bytes: int
    rows: int
    group_rows: int
    digest: str
    images: ForeignImages | None = None
    layout: str = ""

    @property
    def row_groups(self) -> list[int]:
        """Rows of each row group."""
        if self.images is not None:
            return list(self.images.row_groups)
        return [min(self.group_rows, self.rows - start) for start in range(0, self.rows, self.group_rows)]

    @property
    def image_bytes(self) -> int:
        """Of the file that has the images."""
        return self.bytes if self.images is None else self.images.size


def write_shard(location: Location, path: str, table: pa.Table, footer: dict[str, object]) -> Shard:
    """Write one shard whole and describe it."""
    mean_bytes = max(table["image"].nbytes // max(len(table), 1), 1)
    group = int(np.clip(ROW_GROUP_BYTES // mean_bytes, *ROW_GROUP_ROWS))
    table = table.replace_schema_metadata({FOOTER_KEY: json.dumps(footer | {"format": SHARDS_FORMAT}).encode()})
    sink = pa.BufferOutputStream()
    # Encoded images do not compress, and without compression a row group is one read.
    pq.write_table(table, sink, row_group_size=group, compression="none", use_dictionary=["split"], write_page_checksum=True)
    content = _written(location / path, sink)
    return Shard(path, len(content), len(table), group, _digest(content), layout=_layout(content))


def write_index(
    location: Location, path: str, first_id: int, split: str, labels: Sequence[int], sources: Sequence[str], images: ForeignImages
) -> Shard:
    """Write what is known of images that lie elsewhere, row group for row group, and describe it."""
    columns = [
        pa.array(np.arange(first_id, first_id + len(labels))),
        pa.array([None if label < 0 else label for label in labels], pa.int32()),
        pa.array([split] * len(labels)),
        pa.array(sources, pa.string()),
    ]
    footer = {FOOTER_KEY: json.dumps({"split": split, "format": SHARDS_FORMAT}).encode()}
    table = pa.table(columns, schema=INDEX_SCHEMA.with_metadata(footer))
    sink, start = pa.BufferOutputStream(), 0
    with pq.ParquetWriter(sink, table.schema, use_dictionary=["split"], write_page_checksum=True) as writer:
        for rows in images.row_groups:
            writer.write_table(table.slice(start, rows), row_group_size=max(rows, 1))
            start += rows
    (location / path).parent.make()
    content = _written(location / path, sink)
    group = max(images.row_groups, default=1)
    return Shard(path, len(content), len(labels), group, _digest(content), images, _layout(content))


def _written(place: Location, sink: pa.BufferOutputStream) -> bytes:
    content: bytes = sink.getvalue().to_pybytes()
    place.write_bytes(content)
    return content


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _layout(content: bytes) -> str:
    return layout_digest(pq.ParquetFile(pa.BufferReader(content)).metadata)


def shard_file(location: Location, shard: Shard) -> ParquetReader:
    """An open shard, whose footer is one.

    Raises:
        UserError: for a damaged one, another file in its place, or another format.
    """
    file = open_parquet(location, shard.path, shard.digest)
    with damage_in_words(location / shard.path, INGEST_AGAIN):
        footer = dict(json.loads((file.metadata.metadata or {}).get(FOOTER_KEY, b"{}")))
    if footer.get("format") != SHARDS_FORMAT:
        said = f"its footer says {footer.get('format')}"
        raise UserError(f"{location}/{shard.path} is no shard of format {SHARDS_FORMAT} ({said}); ingest the source again")
    if shard.layout and file.layout != shard.layout:
        raise UserError(
            f"{location}/{shard.path} is not the file that its manifest describes: its rows are others, in as many bytes; "
            f"restore it, or {INGEST_AGAIN}"
        )
    return file


def is_shard(file: Location) -> bool:
    """Whether a Parquet file is one that `write_shard` or `write_index` wrote, or is none: what a lost disk left of one."""
    try:
        return FOOTER_KEY in (ParquetReader(file).metadata.metadata or {})
    except UserError:
        return True


def read_footer_of(location: Location, shard: Shard) -> dict[str, Any]:
    """What a shard's footer says of its images."""
    content = (shard_file(location, shard).metadata.metadata or {}).get(FOOTER_KEY, b"{}")
    return dict(json.loads(content))


def read_group(location: Location, shard: Shard, row_group: int, columns: Sequence[str]) -> pa.Table:
    """Some columns of one row group."""
    file = shard_file(location, shard)
    if shard.images is None or "image" not in columns:
        return file.read_row_group(row_group, columns)
    known = file.read_row_group(row_group, [column for column in columns if column != "image"])
    return known.append_column("image", shard.images.read(row_group)).select(columns)
