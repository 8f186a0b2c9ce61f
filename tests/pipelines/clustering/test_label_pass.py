"""How rows are labelled and written; on a real local Ray where tasks do it."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from algos.kmeans import row_threads
from pipelines.clustering import label_pass
from pipelines.clustering.label_files import FrozenClusters, label_files
from pipelines.clustering.label_pass import LabelWriter, write_labels
from pipelines.datasets import embedding_folder
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.files.location import Location
from tests.helpers.inputs.lumps import LUMP_DIM, LUMP_ROWS


@pytest.fixture
def model():
    random = np.random.default_rng(3)
    centers = random.normal(size=(12, LUMP_DIM)).astype(np.float32)
    centers /= np.linalg.norm(centers, axis=1, keepdims=True)
    return FrozenClusters([9, 3], centers, random.normal(size=12).astype(np.float32) / 10)


@pytest.fixture
def write(lumps, model, tmp_path, monkeypatch):
    """Write all files of labels in this process; returns their table and what was yielded of each file."""
    monkeypatch.setattr(label_pass.ray, "get", lambda model: model)

    def run(name="labels", **options):
        vectors, folder = EmbeddingFolder.open(str(lumps), id_column="path"), Location.of(tmp_path / name).make()
        todo = label_files(vectors, 400)
        yielded = list(LabelWriter(vectors, todo, model, folder, gpu=False, **options)({"id": np.arange(len(todo))}))
        return pa.concat_tables(pq.read_table(tmp_path / name / part.name) for part in todo), yielded

    return run


def test_threads_and_pieces_change_no_label(write, monkeypatch):
    whole, counted = write()
    assert whole["id"].to_pylist() == [f"row-{place}" for place in range(LUMP_ROWS)]
    monkeypatch.setattr(row_threads, "MOST_NUMBERS", 12 * 7)  # seven rows at a time
    monkeypatch.setattr(label_pass, "GROUP_ROWS", 100)
    monkeypatch.setattr(embedding_folder, "WHOLE_BYTES", 8 * LUMP_DIM * 149)  # row groups of 150 come in pieces
    monkeypatch.setattr(embedding_folder, "STREAMED_BYTES", 8 * LUMP_DIM * 60)
    pieces, again = write("pieces", cpus=3)
    assert pieces.select([0, 1, 3]).equals(whole.select([0, 1, 3]))
    for column in (2, 4):
        np.testing.assert_allclose(pieces[column].to_numpy(), whole[column].to_numpy(), atol=1e-6)
    assert [one["counts"].tolist() for one in again] == [one["counts"].tolist() for one in counted]


def test_counts_and_sums_are_those_of_the_written_labels(write):
    table, yielded = write()
    for head, mine in enumerate((slice(0, 9), slice(9, 12))):
        labels, similarity = table[f"label_head{head}"].to_numpy(), table[f"similarity_head{head}"].to_numpy()
        counts = np.bincount(labels, minlength=mine.stop - mine.start)
        assert sum(one["counts"][0, mine] for one in yielded).tolist() == counts.tolist()
        sums = sum(one["similarity"][0, mine] for one in yielded)
        np.testing.assert_allclose(sums, np.bincount(labels, weights=similarity, minlength=len(counts)))
    assert sum(int(one["rows"][0]) for one in yielded) == LUMP_ROWS


def test_a_file_that_is_kept_is_counted_and_not_made_again(write, tmp_path):
    _, first = write()
    kept = tmp_path / "labels" / "part-000001.parquet"
    stamp = kept.stat().st_mtime_ns
    (tmp_path / "labels" / "part-000002.parquet").unlink()
    table, again = write(keep=True)
    assert kept.stat().st_mtime_ns == stamp
    assert len(table) == LUMP_ROWS
    for before, after in zip(first, again, strict=True):
        for name, values in before.items():
            assert after[name].tolist() == values.tolist()


def test_columns_bear_the_number_of_their_head(lumps, model, tmp_path, monkeypatch):
    monkeypatch.setattr(label_pass.ray, "get", lambda model: model)
    one = FrozenClusters([3], model.centers[9:], model.prices[9:], first=1)
    vectors, folder = EmbeddingFolder.open(str(lumps)), Location.of(tmp_path)
    list(LabelWriter(vectors, label_files(vectors), one, folder, gpu=False)({"id": np.arange(1)}))
    assert pq.read_schema(tmp_path / "part-000000.parquet").names == ["id", "label_head1", "similarity_head1"]


@pytest.mark.job
@pytest.mark.ray
def test_one_file_of_labels_uses_all_processors(local_ray, lumps, model, tmp_path):
    vectors = EmbeddingFolder.open(str(lumps / "a.parquet"))
    made = write_labels(vectors, model, Location.of(tmp_path / "labels"), gpu=False)
    table = pq.read_table(tmp_path / "labels" / "part-000000.parquet")
    rows = np.concatenate([vectors.read(0, group)[0] for group in range(8)])
    priced = rows @ model.centers[:9].T + model.prices[:9]
    assert (table["label_head0"].to_numpy() == priced.argmax(axis=1)).mean() > 0.999
    assert made.counts[:9].tolist() == np.bincount(table["label_head0"].to_numpy(), minlength=9).tolist()
