"""Dealing and putting together without Ray: every row once with its place, in little memory, whatever the files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from pipelines.datasets import embedding_folder
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.files.location import Location
from pipelines.stream.epoch_order import EpochOrder, StreamShape
from pipelines.stream.vector_windows import VectorReader
from pipelines.working_copy.copy_plan import CopyPlan, CopyType
from pipelines.working_copy.copy_tasks import NO_DIRECTION, PartMaker, RowDealer, first_too_large
from tests.helpers.inputs.copies import read_copy, small_plan, write_rows
from tests.pipelines.stream.test_row_groups import Counting, column_bytes, read_bytes

ROWS, DIM = 1000, 6


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Several pieces of so few rows."""
    monkeypatch.setattr(embedding_folder, "STREAMED_BYTES", 37 * 8 * DIM)


def copy(vectors: EmbeddingFolder, folder: Path, dtype: CopyType = "float32") -> CopyPlan:
    """A copy, made without Ray."""
    plan = small_plan(vectors, folder, dtype)
    plan.location.make()
    dealt = (plan.location / "dealt").make()
    deal = RowDealer(plan, plan.spans, dealt, frozenset())
    assert sum(int(told["rows"][0]) for told in deal({"id": np.arange(len(plan.spans))})) == vectors.rows
    list(PartMaker(plan, list(range(plan.parts)), dealt)({"id": np.arange(plan.parts)}))
    return plan


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_copy_has_each_row_once_as_passes_over_the_original_have_it(tmp_path, dtype):
    vectors = write_rows(tmp_path / "v", np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(dtype), (700, 1, 299))
    plan = copy(vectors, tmp_path / "copy")
    rows, places = read_copy(plan)
    assert sorted(places.tolist()) == list(range(ROWS))
    assert (plan.parts, np.array_equal(places, np.sort(places))) == (8, False)
    unit = np.concatenate([vectors.read(shard, 0)[0] for shard in range(3)])
    np.testing.assert_array_equal(rows, unit[places])
    first = places[: plan.part_rows(0)]
    assert np.histogram(first, 5, (0, ROWS))[0].min() > 15  # of 125: a part has rows from everywhere
    opened = EmbeddingFolder.open(str(plan.location))
    assert [file.row_groups for file in opened.shards] == [file.row_groups for file in plan.planned().shards]
    np.testing.assert_array_equal(plan.planned().rows_of(opened.read_stored(0, 0)), rows[: plan.row_groups(0)[0]])


def test_the_copy_is_the_same_however_rows_lie_in_files(tmp_path):
    rows = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)
    first = copy(write_rows(tmp_path / "v", rows, (ROWS,)), tmp_path / "one")
    second = copy(write_rows(tmp_path / "w", rows, (20, 500, 480)), tmp_path / "three")
    for mine, theirs in zip(read_copy(first), read_copy(second), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_half_precision_is_half_as_large_and_near(tmp_path):
    vectors = write_rows(tmp_path / "v", np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32), (ROWS,))
    plan = copy(vectors, tmp_path / "copy", "float16")
    rows, places = read_copy(plan)
    assert rows.dtype == np.float16
    np.testing.assert_allclose(rows.astype(np.float32), vectors.read(0, 0)[0][places], atol=1e-3)
    again = plan.planned().rows_of(pa.array(list(rows)))
    np.testing.assert_allclose(np.linalg.norm(again, axis=1), 1, atol=1e-6)
    assert first_too_large(np.array([[1, 2], [np.inf, 0]], np.float16)) == 1
    assert first_too_large(rows) is None


def test_a_row_without_direction_is_told_by_its_place_in_the_original(tmp_path):
    rows = np.ones((ROWS, DIM), np.float32)
    rows[912] = np.nan
    vectors = write_rows(tmp_path / "v", rows, (700, 300))
    plan = small_plan(vectors, tmp_path / "copy")
    deal = RowDealer(plan, plan.spans, (plan.location / "dealt").make(), frozenset())
    last = list(deal({"id": np.array([1])}))[-1]
    assert (last["fault"].tolist(), last["place"].tolist()) == ([NO_DIRECTION], [912])
    assert "row 212 of" in str(vectors.refusal(912))


def test_dealing_reads_a_row_group_once_and_a_pass_over_the_copy_its_column(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40_000, 16)).astype(np.float32)
    (tmp_path / "v").mkdir()
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), 16)
    pq.write_table(pa.table({"embedding": vectors}), tmp_path / "v" / "a.parquet", row_group_size=40_000)
    handler = Counting()
    counted = Location(pafs.PyFileSystem(handler), str(tmp_path / "v"))
    original = replace(EmbeddingFolder.open(str(tmp_path / "v")), location=counted)
    plan = CopyPlan(original, Location.of(tmp_path / "copy").make(), "float32", 0, part_bytes=640_000, group_bytes=64_000)
    dealt = (plan.location / "dealt").make()
    list(RowDealer(plan, plan.spans, dealt, frozenset())({"id": np.arange(len(plan.spans))}))
    assert (len(plan.spans), len(list(plan.all_lots))) == (1, 4)
    assert handler.bytes <= 1.1 * column_bytes(tmp_path / "v", ("embedding",))
    list(PartMaker(plan, list(range(plan.parts)), dealt)({"id": np.arange(plan.parts)}))
    place = Location(counted.filesystem, plan.location.path)
    copy = replace(EmbeddingFolder.open(str(plan.location)), location=place, finished=True)
    reader = VectorReader(copy, EpochOrder(copy, StreamShape(64, 2, 1024), seed=3, epoch=0), range(2))
    read_bytes(reader, handler)  # and opens the files
    assert read_bytes(reader, handler) <= 1.1 * column_bytes(tmp_path / "copy", ("embedding",))
