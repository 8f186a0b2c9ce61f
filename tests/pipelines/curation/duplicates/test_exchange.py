"""Rows that are written by one and read by another."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from pipelines.curation.duplicates.exchange import SliceIndex, batches, read_slices, write_slices
from pipelines.files.location import Location


def test_each_destination_reads_its_rows_in_the_order_of_the_files(tmp_path):
    folder = Location.of(tmp_path)
    rows = pa.table({"id": ["a", "b", "c", "d"], "vector": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8.0)), 2)})
    index = [write_slices(folder, file, rows, np.array([5, 2, 5, 2 + file])) for file in (1, 0)]
    found = SliceIndex(index)
    assert read_slices(folder, found.of(5))["id"].to_pylist() == ["a", "c", "a", "c"]
    assert read_slices(folder, found.of(2))["id"].to_pylist() == ["b", "d", "b"]
    assert read_slices(folder, found.of(3))["vector"].to_pylist() == [[6, 7]]
    assert len(found.of(4)) == 0
    assert found.largest == max(found.of(destination)[:, 3].sum() for destination in (2, 3, 5))


def test_tables_are_joined_until_they_are_large_enough():
    tables = [pa.table({"a": np.arange(size)}) for size in (3, 3, 3, 1)]
    assert [len(joined) for joined in batches(iter(tables), 40)] == [6, 4]
