"""Batches of vectors: the same for any number of workers and any start."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.datasets.vector_column import RowForm
from pipelines.stream.epoch_order import EpochOrder, StreamShape, lanes_of_worker
from pipelines.stream.vector_windows import VectorReader
from tests.helpers.inputs.lumps import LUMP_DIM, LUMP_ROWS
from tests.helpers.runs.steps import steps_of

BATCH = 96


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_batches_of_any_number_of_workers_joined_are_those_of_one(lumps, workers):
    vectors = EmbeddingFolder.open(str(lumps))
    order = EpochOrder(vectors, StreamShape(BATCH, 4, 64), seed=3, epoch=1)

    def steps(lanes: range, start: int = 0) -> list[dict[str, np.ndarray]]:
        reader = VectorReader(vectors, order, lanes, start)
        return steps_of(reader, BATCH // 4 * len(lanes))

    whole = steps(range(4))
    places = np.concatenate([step["id"] for step in whole])
    assert len(np.unique(places)) == len(places) == LUMP_ROWS // BATCH * BATCH
    by_worker = [steps(lanes_of_worker(4, rank, workers)) for rank in range(workers)]
    for step, *shares in zip(whole, *by_worker, strict=True):
        for name in ("id", "vector"):
            assert np.array_equal(np.concatenate([share[name] for share in shares]), step[name])
    assert [set(step["step"].tolist()) for step in whole] == [{number} for number in range(len(whole))]
    for step, later in zip(whole[5:], steps(range(4), 5), strict=True):
        assert np.array_equal(step["vector"], later["vector"])
    every = np.concatenate([vectors.read(s, g)[0] for s, file in enumerate(vectors.shards) for g in range(len(file.row_groups))])
    assert all(np.array_equal(step["vector"], every[step["id"]]) for step in whole)


def test_windows_hold_rows_in_the_form_of_the_folder(lumps):
    vectors = EmbeddingFolder.open(str(lumps)).in_form(RowForm("euclidean", (0.5,) * LUMP_DIM, 3.0))
    order = EpochOrder(vectors, StreamShape(BATCH, 4, 64), seed=3, epoch=1)
    every = np.concatenate([vectors.read(s, g)[0] for s, file in enumerate(vectors.shards) for g in range(len(file.row_groups))])
    steps = steps_of(VectorReader(vectors, order, range(4)), BATCH)
    assert np.linalg.norm(every, axis=1).std() > 0.1
    assert all(np.array_equal(step["vector"], every[step["id"]]) for step in steps)
