"""How the labels of a folder of vectors are cut into files."""

from __future__ import annotations

from pipelines.clustering.label_files import label_files
from pipelines.datasets.embedding_folder import EmbeddingFolder


def test_files_of_labels_hold_whole_row_groups_of_one_file_each(lumps):
    vectors = EmbeddingFolder.open(str(lumps))
    made = label_files(vectors, 400)
    assert [(part.shard, part.groups, part.rows) for part in made] == [
        (0, range(0, 3), 450), (0, range(3, 6), 450), (0, range(6, 8), 200), (1, range(0, 3), 450), (1, range(3, 6), 450),
    ]  # fmt: skip
