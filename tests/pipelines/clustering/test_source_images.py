"""Finding the images behind embeddings, and putting labels in the order of their ids."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.clustering import source_images as embedded_images
from pipelines.clustering.label_files import FrozenClusters, LabelledFolder, label_files
from pipelines.clustering.source_images import Images, clusters_by_id, images_of, labels_by_id
from pipelines.datasets.embedding_folder import EMBEDDINGS_MANIFEST, EmbeddingFolder
from pipelines.datasets.image_shards import Dataset, Split
from pipelines.files.location import Location

IDS = [5, 0, 3, 1, 7, 2]


@pytest.fixture
def folder(tmp_path, some_digits):
    """Six embeddings with ids, as `quorum embed` writes them of `some_digits`."""
    rows = np.eye(6, 4, dtype=np.float32) + 0.1
    pq.write_table(pa.table({"id": IDS, "embedding": list(rows)}), tmp_path / "a.parquet", row_group_size=2)
    manifest = {"rows": 6, "split": "train", "shards": str(some_digits.location), "fingerprint": some_digits.fingerprint}
    (tmp_path / EMBEDDINGS_MANIFEST).write_text(json.dumps(manifest | {"format": 1}))
    return tmp_path


def change(folder, **values):
    manifest = json.loads((folder / EMBEDDINGS_MANIFEST).read_text()) | values
    (folder / EMBEDDINGS_MANIFEST).write_text(json.dumps({key: value for key, value in manifest.items() if value is not None}))


def test_images_are_found_by_the_manifest(folder, some_digits):
    assert images_of(EmbeddingFolder.open(str(folder))) == Images(some_digits, "train")


def test_vectors_of_another_hand_have_no_images(folder):
    change(folder, shards=None)
    assert images_of(EmbeddingFolder.open(str(folder))) is None
    (folder / EMBEDDINGS_MANIFEST).unlink()
    assert images_of(EmbeddingFolder.open(str(folder))) is None


@pytest.mark.parametrize("changed", [{"shards": "/nowhere"}, {"fingerprint": "other"}])
def test_images_that_are_gone_or_others_are_said_and_left_out(folder, capsys, changed):
    change(folder, **changed)
    assert images_of(EmbeddingFolder.open(str(folder))) is None
    assert "no pictures of them" in capsys.readouterr().err


@pytest.mark.parametrize(("most", "expected"), [(300, [0, 3, 5, 2, -1, 1, -1, 4]), (4, [0, 3, -1, 2])])
def test_labels_come_in_the_order_of_the_ids(folder, monkeypatch, most, expected):
    monkeypatch.setattr(embedded_images, "MOST_INSTANCES", most)
    vectors, labels = EmbeddingFolder.open(str(folder)), np.array([1, 0, 2, 3, 4, 5])
    files = label_files(vectors, 2)
    for part in files:
        mine = slice(part.start, part.start + part.rows)
        table = {"id": IDS[mine], "label_head0": labels[mine], "label_head1": 9 - labels[mine]}
        pq.write_table(pa.table(table), folder / part.name)
    model = FrozenClusters([6, 10], np.zeros((16, 4), np.float32), np.zeros(16, np.float32))
    labelled = LabelledFolder(vectors, model, files, Location.of(str(folder)), np.zeros(16, np.int64), np.zeros(16))
    dataset = Dataset(Location.of(folder), "images", [], {"train": Split(8, [], [])}, 0)
    clusters = clusters_by_id(labelled, Images(dataset, "train"))
    assert clusters[0].tolist() == expected
    assert clusters[1].tolist() == [label if label < 0 else 9 - label for label in expected]


def test_labels_of_pieces_are_put_by_id_and_ids_beyond_are_left_out():
    pieces = [(np.array([3, 9]), np.array([[5, 6], [1, 2]])), (np.array([0, -1]), np.array([[7, 8], [3, 4]]))]
    assert labels_by_id(pieces, 2, 4).tolist() == [[7, -1, -1, 5], [3, -1, -1, 1]]
