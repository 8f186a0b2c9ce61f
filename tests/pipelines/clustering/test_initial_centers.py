"""Where a clustering of vectors starts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clustering import initial_centers
from pipelines.clustering.initial_centers import draw_initial_centers, sample_rows
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.errors import UserError


def test_a_sample_has_rows_from_all_over_the_folder_and_repeats(lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    sample = sample_rows(vectors, 140, seed=0)
    assert 140 <= len(sample) <= 154
    assert len(np.unique(sample, axis=0)) == len(sample)
    assert np.array_equal(sample, sample_rows(vectors, 140, seed=0))
    assert not np.array_equal(sample[:100], sample_rows(vectors, 140, seed=1)[:100])


def test_heads_start_from_different_rows_and_repeat(lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    made = draw_initial_centers(vectors, [20, 20], seed=0)
    assert made.shape == (40, vectors.dim)
    assert np.linalg.norm(made, axis=1) == pytest.approx(np.ones(40))
    assert not np.array_equal(made[:20], made[20:])
    assert np.array_equal(made, draw_initial_centers(vectors, [20, 20], seed=0))


def test_beyond_what_can_be_seeded_random_rows_must_do(lumps, monkeypatch):
    monkeypatch.setattr(initial_centers, "MOST_SEEDED", 10)
    made = draw_initial_centers(EmbeddingFolder.open(str(lumps)), [20], seed=0)
    assert len(np.unique(made, axis=0)) == 20


def test_a_sampled_row_without_direction_is_named(tmp_path):
    pq.write_table(pa.table({"embedding": [[1.0, 0.0], [0.0, 0.0]]}), tmp_path / "x.parquet")
    with pytest.raises(UserError, match=r"row 1 of .*x\.parquet has no direction"):
        draw_initial_centers(EmbeddingFolder.open(str(tmp_path)), [2], seed=0)
