"""How the labels of a folder of vectors are cut into files, and what they follow from."""

from __future__ import annotations

import numpy as np

from pipelines.clustering.label_files import FrozenClusters, label_files
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm


def test_files_of_labels_hold_whole_row_groups_of_one_file_each(lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    made = label_files(vectors, 400)
    assert [(part.shard, part.groups, part.rows) for part in made] == [
        (0, range(0, 3), 450), (0, range(3, 6), 450), (0, range(6, 8), 200), (1, range(0, 3), 450), (1, range(3, 6), 450),
    ]  # fmt: skip


def test_clusters_of_euclidean_rows_go_to_units_of_the_data_and_back():
    form = RowForm("euclidean", (10.0, 20.0), 2.0)
    mine = FrozenClusters([2], np.array([[0.5, -1.0], [0.0, 0.25]], np.float32), np.array([0.0, 0.5], np.float32), "euclidean")
    given = mine.in_data_units(form)
    assert given.centers.tolist() == [[11.0, 18.0], [10.0, 20.5]]
    assert given.prices.tolist() == [0.0, 2.0]  # half squared distances grow by 4
    back = given.among(form)
    assert back.centers.tolist() == mine.centers.tolist()
    assert back.prices.tolist() == mine.prices.tolist()
    assert (back.centers.dtype, back.prices.dtype) == (np.float32, np.float32)


def test_clusters_of_directions_have_no_units():
    mine = FrozenClusters([1], np.array([[0.6, 0.8]], np.float32), np.array([0.25], np.float32))
    assert mine.in_data_units(RowForm()).centers.tolist() == mine.among(RowForm()).centers.tolist() == mine.centers.tolist()
