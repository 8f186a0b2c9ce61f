"""Two levels: the clusters of a parent, bounds on both, and the same labels whoever shares the rows."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F

from algos.kmeans import nested_kmeans
from algos.kmeans.level_bounds import share_clusters
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from algos.kmeans.step_arithmetic import priced_similarities


def made(children, dim=5, spherical=True, seed=0, **options):
    generator = torch.Generator().manual_seed(seed)
    parents, centers = (
        F.normalize(torch.randn(count, dim, generator=generator), dim=1) for count in (len(children), sum(children))
    )
    options = {"min_size_ratio": 0.4, "max_size_ratio": 2.0, "dual_lr": 2.0, "spherical": spherical} | options
    prices = 0.1 * torch.randn(len(children), generator=generator)
    return NestedConstrainedKMeans(parents, prices, torch.tensor(children), centers, **options)


@pytest.mark.parametrize("spherical", [True, False])
@pytest.mark.parametrize("children", [[3, 1, 7], [4], [1, 1], [40, 2, 2, 9]])
def test_labels_are_the_best_clusters_of_the_best_parent(children, spherical):
    kmeans = made(children, spherical=spherical)
    rows = F.normalize(torch.randn(200, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    rows[:150] = rows[0]  # many of one parent
    kmeans.duals.copy_(torch.rand(len(kmeans.duals)))
    priced = priced_similarities(rows, kmeans.centers, kmeans.prices, spherical=spherical)
    parents = kmeans.assign_parents(rows)
    wanted = priced.masked_fill(kmeans.parent_of != parents[:, None], -torch.inf).argmax(dim=1)
    assert torch.equal(kmeans.assign(rows)[0], wanted)
    assert kmeans.assign(rows[:0]).shape == (1, 0)


@pytest.mark.parametrize("spherical", [True, False])
def test_similarities_within_parents_are_those_that_labels_are_the_maximum_of(spherical, monkeypatch):
    monkeypatch.setattr(nested_kmeans, "NUMBERS_HELD", 100)  # some blocks at a time
    kmeans = made([3, 1, 7], spherical=spherical)
    rows = F.normalize(torch.randn(90, 5, generator=torch.Generator().manual_seed(1)), dim=1)
    parents = torch.arange(90) % 3
    priced = priced_similarities(rows, kmeans.centers, kmeans.prices, spherical=spherical)
    found, last = torch.full_like(priced, torch.nan), torch.full((3,), -1)
    for places, mine, clusters in kmeans.priced_within(rows, parents):
        for place, values, numbers in zip(places.tolist(), mine, clusters, strict=True):
            assert place > last[parents[place]]
            last[parents[place]] = place
            here = values > -torch.inf
            found[place, numbers[here]] = values[here]
    others = kmeans.parent_of != parents[:, None]
    assert torch.equal(found.isnan(), others)
    torch.testing.assert_close(found[~others], priced[~others], atol=1e-6, rtol=1e-6)
    assert torch.equal(kmeans.assign_within(rows, parents), found.nan_to_num(nan=-torch.inf).argmax(dim=1))


def test_a_stream_keeps_the_bounds_of_a_flat_clustering():
    generator = torch.Generator().manual_seed(3)
    lumps = F.normalize(torch.randn(12, 8, generator=generator), dim=1)
    rows = F.normalize(
        lumps[torch.randint(0, 12, (4000,), generator=generator)] + 0.3 * torch.randn(4000, 8, generator=generator), dim=1
    )
    parents = F.normalize(torch.randn(4, 8, generator=generator), dim=1)
    sizes = (rows @ parents.T).argmax(dim=1).bincount(minlength=4)
    children = share_clusters(sizes, 40, 0.4, 2.0)
    kmeans = NestedConstrainedKMeans(
        parents, torch.zeros(4), children, rows[:40], min_size_ratio=0.4, max_size_ratio=2.0, batches_per_epoch=20
    )
    for number in range(8):
        kmeans.set_dual_lr(divisor=number + 1)
        for batch in rows[torch.randperm(4000, generator=generator)].split(200):
            kmeans.partial_fit(batch)
        counts = kmeans.counts.clone()
        (summary,) = kmeans.end_epoch()
    assert (summary.min_size, summary.max_size) == (pytest.approx(40), pytest.approx(200))
    assert float(summary.off_bounds(counts)) < 0.02 * 4000
    assert float(summary.slack) > -1e-2
    assert float(summary.slack_above) > -1e-2


def _cluster_shard(rows):
    rank, workers = (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)
    kmeans = made([3, 1, 9, 4], dim=rows.shape[-1])
    labels = [kmeans.partial_fit(batch.tensor_split([11, 20, 30][: workers - 1])[rank]) for batch in rows]
    return torch.cat(labels, dim=1), kmeans.prices, kmeans.centers


def test_workers_equal_one_process(gloo):
    rows = F.normalize(torch.randn(12, 37, 6, generator=torch.Generator().manual_seed(5)), dim=2)
    _, prices, centers = _cluster_shard(rows)
    for _, mine, moved in gloo(2, _cluster_shard, rows):
        assert torch.equal(mine, prices)
        assert torch.equal(moved, centers)


def test_state_holds_the_parents():
    first, second = made([3, 1, 7]), made([3, 1, 7], seed=4)
    second.load_state_dict(first.state_dict())
    rows = F.normalize(torch.randn(50, 5), dim=1)
    assert torch.equal(first.partial_fit(rows), second.partial_fit(rows))


def test_children_that_do_not_add_up_are_refused():
    with pytest.raises(ValueError, match="each parent needs at least one"):
        NestedConstrainedKMeans(torch.eye(2), torch.zeros(2), torch.tensor([3, 0]), torch.ones(3, 2))
