"""Where a clustering of vectors starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.cluster import kmeans_plusplus

from pipelines.clustering import initial_centers
from pipelines.clustering.initial_centers import draw_form, draw_initial_centers, plus_plus, sample_rows
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm
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


def folder_of(place: Path, rows: np.ndarray) -> EmbeddingFolder:
    pq.write_table(pa.table({"embedding": rows.tolist()}), place / "x.parquet", row_group_size=7)
    return EmbeddingFolder.open(str(place))


def test_euclidean_rows_are_read_around_the_mean_at_the_scale_of_their_spread(tmp_path):
    rows = np.array([[0.0, 1.0], [6.0, 1.0], [0.0, 9.0], [6.0, 9.0]] * 5) + 1e4
    form = draw_form(folder_of(tmp_path, rows), "euclidean", 2, 0.4, seed=0)
    assert form == RowForm("euclidean", (10003.0, 10005.0), 5.0)
    assert draw_form(folder_of(tmp_path, rows), "cosine", 2, 0.4, seed=0) == RowForm()


def test_the_first_centers_of_euclidean_rows_are_rows_in_their_form(lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    vectors = vectors.in_form(draw_form(vectors, "euclidean", 20, 0.4, seed=0))
    made = draw_initial_centers(vectors, [20], seed=0)
    rows = sample_rows(vectors, vectors.rows, seed=0)
    assert np.square(rows).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)
    assert np.abs(rows[:, None] - made).sum(axis=2).min(axis=0) == pytest.approx(np.zeros(20))


def test_one_row_far_out_gives_no_scale(tmp_path):
    rows = np.random.default_rng(0).normal(size=(200, 3))
    near = draw_form(folder_of(tmp_path, rows), "euclidean", 5, 0.4, seed=0)
    spoilt = draw_form(folder_of(tmp_path, np.concatenate([rows, [[1e9, 0, 0]]])), "euclidean", 5, 0.4, seed=0)
    assert spoilt.scale == pytest.approx(near.scale)
    assert spoilt.origin == pytest.approx(near.origin)


def test_a_sampled_row_without_a_distance_is_named(tmp_path):
    vectors = folder_of(tmp_path, np.array([[1.0, 0.0], [0.0, 0.0], [np.inf, 0.0]]))
    with pytest.raises(UserError, match=r"row 2 of .*x\.parquet has no distance to others"):
        draw_form(vectors, "euclidean", 2, 0.4, seed=0)


@pytest.mark.parametrize(("rows", "dim", "clusters"), [(40, 3, 40), (900, 16, 90), (700, 100, 50)])
def test_k_means_plus_plus_takes_the_rows_that_scikit_learn_takes(rows, dim, clusters):
    drawn = np.random.default_rng(dim).normal(size=(rows, dim)).astype(np.float32)
    drawn[rows // 2 :: 7] = drawn[0]  # copies, as data has them
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    _, places = kmeans_plusplus(unit, clusters, random_state=3)
    assert plus_plus(unit, clusters, np.random.RandomState(3)).tolist() == places.tolist()
