"""Which files a stream can read as they are: shuffled rows in short row groups, and nothing is said against those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm
from pipelines.stream.epoch_order import StreamShape
from pipelines.working_copy.fitness import design_effect, likeness, why_unfit

ROWS, DIM = 20_000, 16
SHAPE = StreamShape(512, 8, 500)


def lumps(kinds: int, noise: float = 0.8, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    """Rows in lumps of equal sizes, lump after lump, and the lump of each."""
    random = np.random.default_rng(0)
    kind = np.arange(rows) * kinds // rows
    return (random.normal(size=(kinds, DIM))[kind] + noise * random.normal(size=(rows, DIM))).astype(np.float32), kind


def write(file: Path, rows: np.ndarray, group: int = 500) -> EmbeddingFolder:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    pq.write_table(pa.table({"embedding": vectors}), file, row_group_size=group)
    return EmbeddingFolder.open(str(file))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("dim", [2, 16])
def test_shuffled_lumps_are_fit_and_alike_by_chance_only(tmp_path, seed, dim):
    rows, _ = lumps(40)
    vectors = write(tmp_path / "a.parquet", rows[np.random.default_rng(seed).permutation(ROWS), :dim])
    alike = likeness(vectors, 500)
    assert abs(alike.correlation) < 3 * alike.error
    assert design_effect(vectors, SHAPE) == 1.0
    assert why_unfit(vectors, SHAPE, 512) is None


def test_the_correlation_is_the_share_of_the_variance_that_lies_between_lumps(tmp_path):
    rows, kind = lumps(40)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    means = np.stack([unit[kind == one].mean(axis=0) for one in range(40)])
    between = ((means - unit.mean(axis=0)) ** 2).sum(axis=1).mean()
    share = between / ((unit - unit.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert likeness(write(tmp_path / "a.parquet", rows), 500).correlation == pytest.approx(share, abs=0.05)


def test_rows_in_the_order_of_their_lengths_are_unfit_by_distance_and_offsets_are_no_order(tmp_path):
    random = np.random.default_rng(0)
    directions = random.normal(size=(ROWS, DIM))
    rows = directions / np.linalg.norm(directions, axis=1, keepdims=True) + np.sort(random.gamma(2, size=ROWS))[:, None]
    sorted_rows = write(tmp_path / "a.parquet", rows.astype(np.float32))
    assert "in an order" in why_unfit(sorted_rows.in_form(RowForm.around(rows)), SHAPE, 512)
    far = random.normal(size=(ROWS, DIM)) + 1e4
    shuffled = write(tmp_path / "b.parquet", far.astype(np.float32))
    assert why_unfit(shuffled.in_form(RowForm.around(far)), SHAPE, 512) is None


@pytest.mark.parametrize("kinds", [20, 40, 200])
def test_lumps_one_after_another_are_unfit(tmp_path, kinds):
    rows, _ = lumps(kinds)
    assert "in an order" in why_unfit(write(tmp_path / "a.parquet", rows), SHAPE, 512)


def test_rows_that_drift_over_the_files_are_unfit(tmp_path):
    rows, _ = lumps(40)
    rows = rows[np.random.default_rng(0).permutation(ROWS)] + np.linspace(-1, 1, ROWS, dtype=np.float32)[:, None]
    assert "in an order" in why_unfit(write(tmp_path / "a.parquet", rows), SHAPE, 512)


def test_order_does_no_harm_where_a_batch_has_rows_of_all_files(tmp_path):
    rows, _ = lumps(20, rows=2000)
    vectors = write(tmp_path / "a.parquet", rows, 2000)
    assert why_unfit(vectors, StreamShape(96, 8, 1024), 512) is None  # each lane's window is all of the lane


def test_order_within_a_row_group_counts_where_windows_are_shorter(tmp_path):
    rows, kind = lumps(50)
    order = np.argsort(np.arange(ROWS) % 8, kind="stable")  # each of 8 row groups has all lumps, one after another
    assert (np.bincount(kind[order][:2500]) == 50).all()
    vectors = write(tmp_path / "a.parquet", rows[order], 2500)
    assert why_unfit(vectors, StreamShape(512, 8, 2500), 2500) is None
    assert "in an order" in why_unfit(vectors, StreamShape(512, 8, 64), 2500)


def test_pairs_of_near_copies_do_no_harm(tmp_path):
    rows, _ = lumps(ROWS // 2, noise=0.01)
    assert why_unfit(write(tmp_path / "a.parquet", rows), SHAPE, 512) is None


def test_row_groups_that_tasks_cannot_keep_are_unfit_whatever_the_order(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300_000, 4)).astype(np.float32)
    vectors = write(tmp_path / "a.parquet", rows, 300_000)
    shape = StreamShape(8192, 8, 300_000)  # 8 lanes of 5 row groups of 32 bytes a row: 384 MB
    assert why_unfit(vectors, shape, 131_072) is None
    assert "300,000 rows are too large for the windows of 16 lanes" in why_unfit(vectors, StreamShape(8192, 16, 300_000), 131_072)


def test_rows_without_direction_are_left_to_those_who_refuse_them(tmp_path):
    rows, _ = lumps(40)
    rows[::2] = 0
    assert "in an order" in why_unfit(write(tmp_path / "a.parquet", rows), SHAPE, 512)
    assert why_unfit(write(tmp_path / "b.parquet", np.zeros((ROWS, DIM), np.float32)), SHAPE, 512) is None
