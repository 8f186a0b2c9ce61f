"""What each level is trained as: clusters begin among their parent's rows, and a checkpoint says which level it is of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from algos.kmeans.step_arithmetic import priced_similarities
from pipelines.clustering.levels.level_clusterings import (
    FirstChildren,
    draw_children,
    new_kmeans,
    restored_kmeans,
    settled_prices,
)  # fmt: skip
from pipelines.clustering.loop import ClusterTask
from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.stream.epoch_order import StreamShape
from tests.helpers.inputs.lumps import LUMP_DIM, LUMP_ROWS
from tests.helpers.runs.killed_runs import differing

GROUPS = [(0, group) for group in range(8)] + [(1, group) for group in range(6)]


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
    parents, children = parents_of(vectors), torch.tensor([1, 1, 1])
    first = draw_children(task(seed=3), vectors, parents)
    rows = {row.tobytes() for shard, group in GROUPS for row in vectors.read(shard, group)[0]}
    assert len(rows) == LUMP_ROWS
    assert all(center.numpy().tobytes() in rows for center in first.centers)
    assert int(first.children.sum()) == 12
    assert bool((first.children >= children).all())
    owners = priced_similarities(first.centers, parents.centers, first.prices).argmax(dim=1)
    assert owners.tolist() == np.repeat([0, 1, 2], first.children).tolist()
    assert len(first.centers.unique(dim=0)) == 12
    again, other = (draw_children(task(seed=seed), vectors, parents) for seed in (3, 4))
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(first, again, strict=True))
    assert not torch.equal(other.centers, first.centers)


def test_prices_of_parents_are_settled_on_the_sample(vectors):
    parents = parents_of(vectors)
    parents.duals.copy_(torch.tensor([0.0, 9.0, 0.0]))  # all rows are of the second
    sample = torch.from_numpy(np.concatenate([vectors.read(0, group)[0] for group in range(8)]))
    for changes, least, most in (({}, 147, 733), ({"max_size_ratio": None, "min_size_ratio": 0.9}, 330, 1100)):  # of 1,100 rows
        prices = settled_prices(parents, sample, task(**changes))
        sizes = priced_similarities(sample, parents.centers, prices).argmax(dim=1).bincount(minlength=3)
        assert least - 2 <= int(sizes.min())  # ties in the last bit
        assert int(sizes.max()) <= most + 2
    plain = task(max_size_ratio=None, min_size_ratio=0.0)
    assert settled_prices(parents, sample, plain).tolist() == [0.0] * 3


def test_a_parent_with_few_rows_gives_copies_and_one_without_any_its_center(vectors):
    parents = parents_of(vectors)
    parents.centers[1] = -parents.centers[0]
    parents.centers[2] = -parents.centers[0]  # no row is nearer to it than to the second
    plain = task(max_size_ratio=None, min_size_ratio=0.0, heads=[LUMP_ROWS])
    first = draw_children(plain, vectors, parents)
    assert first.children[2] == 1
    assert torch.equal(first.centers[-1], parents.centers[2])
    rows = priced_similarities(
        torch.from_numpy(np.concatenate([vectors.read(shard, group)[0] for shard, group in GROUPS])),
        parents.centers,
        first.prices,
    ).argmax(dim=1)
    had = int((rows == 0).sum())
    mine = first.centers[: int(first.children[0])]
    assert len(mine.unique(dim=0)) == min(had, len(mine))


def test_a_checkpoint_of_either_level_goes_on_as_that_level(vectors):
    parents = new_kmeans(task(), vectors)
    assert parents.num_clusters == (3,)
    first = FirstChildren(torch.tensor([0.1, 0.0, -0.1]), torch.tensor([5, 1, 6]), torch.randn(12, LUMP_DIM))
    nested = first.below(parents, task(), vectors)
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
