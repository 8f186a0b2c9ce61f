"""Images that stay in somebody's Parquet file: a shard has their ids and labels, row for row, and knows where they lie."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader, read_footer
from pipelines.files.storage_errors import is_of_storage

INDEX_AGAIN = "it was changed since it was indexed: ingest the source again"


@dataclass(frozen=True)
class ForeignImages:
    """Where the images of a shard lie.

    Attributes:
        place: absolute path or URI of the Parquet file.
        column: of the images: encoded bytes, or structs that have such.
        row_groups: rows of each.
        size: of the file in bytes.
        digest: of its footer, which other rows would change.
    """

    place: str
    column: str
    row_groups: tuple[int, ...]
    size: int
    digest: str

    def read(self, row_group: int) -> pa.Array:
        """The encoded images of a row group, binary; empty where a row has none."""
        return images_of(_reader(self.place, self.digest).read_row_group(row_group, [self.column])[self.column]).fill_null(b"")

    def check(self) -> None:
        """Refuse a file that is not there, or has another size.

        Raises:
            UserError: naming it.
        """
        found = Location.of(self.place).size()
        if found != self.size:
            raise UserError(f"{self.place}, whose images are used in place, has {found} bytes and not {self.size}: {INDEX_AGAIN}")


def images_of(column: pa.ChunkedArray) -> pa.Array:
    """The encoded images of a column of bytes, or of structs with a field `bytes`, as binary of one chunk."""
    encoded = pc.struct_field(column, "bytes") if pa.types.is_struct(column.type) else column
    return encoded.cast(pa.binary()).combine_chunks()


@functools.lru_cache(maxsize=64)
def _reader(place: str, digest: str) -> ParquetReader:
    location = Location.of(place)
    try:
        found = read_footer(location)[1]
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and is_of_storage(error) and not isinstance(error, FileNotFoundError):
            raise
        raise UserError(f"{place} is no whole Parquet file any more ({error}); {INDEX_AGAIN}") from error
    if found != digest:
        raise UserError(f"{place}: {INDEX_AGAIN}")
    return ParquetReader(location)
