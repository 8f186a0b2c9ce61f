"""Row groups: an epoch reads each once, whatever the window, and no more are kept than fit."""

from __future__ import annotations

import dataclasses
import io
import time
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.files.location import Location
from pipelines.stream import row_groups
from pipelines.stream.epoch_order import EpochOrder, StreamShape
from pipelines.stream.images.image_windows import WindowReader
from pipelines.stream.prefetch import Reader
from pipelines.stream.row_groups import SpanGroups
from pipelines.stream.vector_windows import VectorReader
from pipelines.views.crops import CropSpec
from tests.helpers.inputs.digit_shards import write_digits


class CountedFile(io.FileIO):
    """A file that adds the bytes that are read of it to a sum."""

    def __init__(self, path: str, handler: Counting) -> None:
        super().__init__(path)
        self._handler = handler

    def read(self, size: int = -1) -> bytes:
        content = super().read(size)
        self._handler.bytes += len(content)
        return content


class Counting(pafs.FSSpecHandler):
    """The local file system, counting what is read."""

    def __init__(self) -> None:
        super().__init__(fsspec.filesystem("file"))
        self.bytes = 0

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(CountedFile(path, self), mode="r")


def column_bytes(folder: Path, columns: tuple[str, ...]) -> int:
    """Of some columns of all files of a folder."""
    total = 0
    for file in folder.rglob("*.parquet"):
        metadata = pq.ParquetFile(file).metadata
        for group in range(metadata.num_row_groups):
            chunks = [metadata.row_group(group).column(index) for index in range(metadata.num_columns)]
            total += sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in columns)
    return total


def read_bytes(reader: Reader, handler: Counting) -> int:
    """That a reader reads of an epoch, its spans one after another."""
    before = handler.bytes
    for number in range(len(reader.spans)):
        for _ in reader({"id": np.array([number])}):
            pass
    return handler.bytes - before


@pytest.mark.parametrize("window", [1, 8, 20, 50, 300, 5000])
def test_an_epoch_of_images_reads_hardly_more_than_its_columns_have(tmp_path, monkeypatch, window):
    monkeypatch.setattr(row_groups, "READING_THREADS", 1)  # each opens files of its own, whose footers are as large as they here
    folder, handler = tmp_path / "digits", Counting()
    dataset = write_digits(folder, 1797, 600)
    dataset = dataclasses.replace(dataset, location=Location(pafs.PyFileSystem(handler), str(folder)))
    order = EpochOrder(dataset.split("train"), StreamShape(32, 2, window), seed=3, epoch=0)
    reader = WindowReader(dataset, "train", order, range(2), [CropSpec(8, (1.0, 1.0))], 0)
    read_bytes(reader, handler)  # and opens the files
    assert read_bytes(reader, handler) <= 1.1 * column_bytes(folder, ("id", "image"))


def embeddings(folder: Path, handler: Counting) -> EmbeddingFolder:
    """40,000 rows in row groups of 1,000."""
    rows = np.random.default_rng(0).normal(size=(40_000, 16)).astype(np.float32)
    folder.mkdir()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 16)
    pq.write_table(pa.table({"id": np.arange(len(rows)), "embedding": vectors}), folder / "a.parquet", row_group_size=1000)
    found = EmbeddingFolder.open(str(folder))
    return dataclasses.replace(found, location=Location(pafs.PyFileSystem(handler), str(folder)))


@pytest.mark.parametrize("window", [16, 700, 4096])
def test_a_pass_over_vectors_reads_hardly_more_than_their_column_has(tmp_path, window):
    handler = Counting()
    vectors = embeddings(tmp_path / "vectors", handler)
    order = EpochOrder(vectors, StreamShape(64, 2, window), seed=3, epoch=0)
    reader = VectorReader(vectors, order, range(2))
    read_bytes(reader, handler)
    assert read_bytes(reader, handler) <= 1.1 * column_bytes(tmp_path / "vectors", ("embedding",))


def test_row_groups_that_do_not_fit_are_read_for_each_window_and_dropped(tmp_path, monkeypatch):
    handler = Counting()
    vectors = embeddings(tmp_path / "vectors", handler)
    order = EpochOrder(vectors, StreamShape(64, 2, 1024), seed=3, epoch=0)
    whole = VectorReader(vectors, order, range(2))
    expected = [step["id"] for step in whole({"id": np.arange(len(whole.spans))})]
    monkeypatch.setattr(row_groups, "HELD_BYTES", 100_000)
    reader = VectorReader(vectors, order, range(2))
    assert len(reader.spans) == len(list(order.windows()))
    found = [step["id"] for step in reader({"id": np.arange(len(reader.spans))})]
    assert len(found) == order.steps
    for mine, theirs in zip(expected, found, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_span_ends_where_few_row_groups_are_read_twice(tmp_path):
    vectors = embeddings(tmp_path / "vectors", Counting())
    order = EpochOrder(vectors, StreamShape(64, 2, 4096), seed=3, epoch=0)
    assert [len(span) for span in VectorReader(vectors, order, range(2)).spans] == [5]  # 5 * 4096 rows for 1000 of a group
    order = EpochOrder(vectors, StreamShape(64, 2, 2048), seed=3, epoch=0)
    assert [len(span) for span in VectorReader(vectors, order, range(2)).spans] == [10]
    late = VectorReader(vectors, order, range(2), 200).spans
    assert [window for span in late for window, _ in span] == [3, 4, 5, 6, 7, 8, 9]


def test_an_error_is_raised_at_once_and_what_waits_to_be_read_is_left(tmp_path):
    order = EpochOrder(embeddings(tmp_path / "vectors", Counting()), StreamShape(64, 2, 16384), seed=3, epoch=0)
    groups: SpanGroups[None] = SpanGroups(order, range(2), 1.0)
    asked: list[tuple[int, int]] = []

    def read(shard: int, group: int) -> None:
        asked.append((shard, group))
        time.sleep(0.05)
        raise OSError("the disk is gone")

    reading = groups.windows(groups.spans(0)[0], read)
    _, _, pieces = next(reading)
    with pytest.raises(OSError, match="gone"):
        list(pieces(0))
    reading.close()
    assert len(asked) < 20  # of 40
