"""What each level is trained as: clusters begin among their parent's rows, and a checkpoint says which level it is of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from pipelines.clustering.levels.level_clusterings import below, draw_children, new_kmeans, restored_kmeans
from pipelines.clustering.loop import ClusterTask
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.stream.epoch_order import StreamShape
from tests.helpers.lumps import LUMP_DIM, LUMP_ROWS
from tests.helpers.runs import differing


@pytest.fixture
def vectors(lumps) -> EmbeddingFolder:
    return EmbeddingFolder.open(str(lumps))


def parents_of(vectors: EmbeddingFolder, count: int = 3) -> OnlineConstrainedKMeans:
    centers = torch.from_numpy(vectors.read(0, 0)[0][:: 150 // count][:count].copy())
    return OnlineConstrainedKMeans([count], LUMP_DIM, initial_centers=centers)


def task(**changes) -> ClusterTask:
    values = {"heads": [12], "min_size_ratio": 0.4, "max_size_ratio": 2.0, "dual_lr": None, "passes": 2, "seed": 0}
    return ClusterTask(**values | {"shape": StreamShape(96, 4, 64), "parents": 3} | changes)


def test_clusters_begin_among_the_rows_of_their_parent_and_the_same_seed_gives_the_same(vectors):
    parents, children = parents_of(vectors), torch.tensor([5, 1, 9])
    centers = draw_children(vectors, parents, children, seed=3)
    rows = {row.tobytes() for shard in range(2) for group in range(6) for row in vectors.read(shard, group)[0]}
    rows |= {row.tobytes() for group in (6, 7) for row in vectors.read(0, group)[0]}
    assert len(rows) == LUMP_ROWS
    assert all(center.tobytes() in rows for center in centers)
    assert parents.assign(torch.from_numpy(centers))[0].tolist() == np.repeat([0, 1, 2], children).tolist()
    assert len(np.unique(centers, axis=0)) == 15
    np.testing.assert_array_equal(draw_children(vectors, parents, children, seed=3), centers)
    assert not np.array_equal(draw_children(vectors, parents, children, seed=4), centers)


def test_a_parent_with_few_rows_gives_copies_and_one_without_any_its_center(vectors):
    parents = parents_of(vectors)
    parents.duals.copy_(torch.tensor([0.0, 9.0, 0.0]))  # all rows are of the second
    centers = draw_children(vectors, parents, torch.tensor([2, 4, 1]), seed=0)
    np.testing.assert_array_equal(centers[[0, 1, 6]], parents.centers[[0, 0, 2]].numpy())
    few = draw_children(vectors, parents, torch.tensor([1, LUMP_ROWS + 5, 1]), seed=0)[1:-1]
    assert len(np.unique(few[:LUMP_ROWS], axis=0)) == LUMP_ROWS
    np.testing.assert_array_equal(few[LUMP_ROWS:], few[:5])


def test_a_checkpoint_of_either_level_goes_on_as_that_level(vectors):
    parents = new_kmeans(task(), vectors)
    assert parents.num_clusters == (3,)
    children = torch.tensor([5, 1, 6])
    nested = below(parents, children, torch.randn(12, LUMP_DIM), task(), vectors)
    nested.partial_fit(torch.from_numpy(vectors.read(0, 0)[0]))
    for kmeans in (parents, nested):
        again = restored_kmeans(task(), vectors, kmeans.state_dict())
        assert type(again) is type(kmeans)
        assert differing(dict(again.state_dict()), dict(kmeans.state_dict())) == []
        assert torch.equal(again.dual_lr, kmeans.dual_lr)
    assert isinstance(nested, NestedConstrainedKMeans)
    assert torch.equal(nested.parent_centers, parents.centers)
    assert new_kmeans(task(parents=None), vectors).num_clusters == (12,)


def test_passes_of_two_levels_are_those_of_parents_and_then_as_many():
    assert (task().all_passes, task().first_heads) == (4, [3])
    assert [task().is_of_parents(number) for number in range(4)] == [True, True, False, False]
    flat = task(parents=None)
    assert (flat.all_passes, flat.first_heads, flat.is_of_parents(0)) == (2, [12], False)
