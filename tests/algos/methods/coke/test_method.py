"""The method: recorded targets through the whole class, its switches, its state, and its workers."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import nn

from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.method import CoKe
from algos.methods.method import Batch
from tests.helpers.runs.method_training import Flat, go_on_in_mid_epoch, train_method


def no_norm(network):
    """Drop BatchNorm, so that a row's embedding does not depend on the worker it is on."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm1d):
            setattr(network, name, nn.Identity())
        else:
            no_norm(child)


def coke(seed=0, **settings):
    torch.manual_seed(seed)
    config = CoKeConfig(**({"num_clusters": [5, 3], "dim": 6, "predictor_hidden": 8, "dual_lr": 1.0} | settings))
    return CoKe(config, Flat(), num_instances=24, batch_size=8, seed=seed)


def batches(epoch, views=1, small=0, slices=slice(None)):
    generator = torch.Generator().manual_seed(epoch)
    images = torch.randn(views + small, 24, 3, 2, 2, generator=generator)
    for ids in torch.randperm(24, generator=generator).split(8):
        mine = ids[slices]
        yield Batch(
            mine,
            [images[v, mine] for v in range(views)],
            [images[views + v, mine] for v in range(small)],
        )


def train(method, epochs, *, views=1, small=0, slices=slice(None), lr=0.05):
    return train_method(method, lambda epoch: batches(epoch, views, small, slices), range(epochs), lr=lr)[0]


@pytest.mark.parametrize(
    ("settings", "views", "small"),
    [
        ({}, 1, 0),
        ({"predictor_weight": 0.5, "label_weight": 0.2}, 2, 0),
        ({"predictor_weight": 0.5, "label_weight": 0.2}, 2, 3),
        ({"average_from": 2}, 1, 0),
        ({"predictor_weight": 0.0}, 1, 0),
        ({"assignment": "sinkhorn", "dual_lr": None}, 1, 0),
        ({"assignment": "sinkhorn", "dual_lr": None, "average_from": 2}, 1, 0),
        ({"assignment": "none", "dual_lr": None}, 1, 0),
    ],
)
def test_recipes_learn(settings, views, small):
    losses = train(coke(**settings), 12, views=views, small=small)
    assert sum(losses[-3:]) < sum(losses[3:6])


def test_epoch_zero_only_clusters_and_learns_from_its_own_labels():
    method = coke()
    assert [epoch >= method.clustering_epochs for epoch in (0, 1)] == [False, True]
    method.begin_epoch(0)
    batch = next(iter(batches(0)))
    start = method.kmeans.epoch_centers.clone()
    loss = method.loss(method.network, batch)
    z, p = method.network([batch.large])[0]
    labels = method.kmeans.assign(z[0])
    expected = torch.stack(
        [nn.functional.cross_entropy(p[0] @ c.T / 0.1, y) for c, y in zip(method.kmeans.per_head(start), labels, strict=True)]
    ).mean()
    torch.testing.assert_close(loss, expected)


def decide(**settings):
    """Loss of a batch in epoch 1 whose stored labels, running centers and last epoch's centers all differ."""
    method = coke(**settings)
    train(method, 1)
    method.begin_epoch(1)
    seen = list(batches(1))
    method.loss(method.network, seen[0])
    method.begin_update()
    method.finish_update()
    return float(method.loss(method.network, seen[1]).detach())


def test_the_four_label_and_center_ablations_differ():
    kinds = ("previous", "current")
    losses = {decide(target_labels=labels, target_centers=centers) for labels in kinds for centers in kinds}
    assert len(losses) == 4


def test_mean_of_views_is_clustered_without_normalising_it():
    method = coke(label_weight=0.2)
    batch = next(iter(batches(0, views=2)))
    method.begin_epoch(0)
    method.loss(method.network, batch)
    first, second = method.network([batch.large])[0][0]
    assert torch.equal(method.memory._observed[0][1]["labels"].long(), method.kmeans.assign((first + second) / 2))


@pytest.mark.parametrize(
    "settings", [{}, {"assignment": "sinkhorn", "dual_lr": None, "sinkhorn_queue": 16}], ids=["constrained", "sinkhorn"]
)
def test_state_in_mid_epoch_goes_on_bit_for_bit(settings):
    straight, resumed = coke(average_from=1, **settings), coke(seed=5, average_from=1, **settings)
    train(straight, 2)
    go_on_in_mid_epoch(straight, resumed, batches(2), 2)
    assert straight.end_epoch().figures == resumed.end_epoch().figures
    assert torch.equal(straight.knowledge().clusters, resumed.knowledge().clusters)
    assert torch.equal(straight.kmeans.centers, resumed.kmeans.centers)


SINKHORN = {"assignment": "sinkhorn", "dual_lr": None, "sinkhorn_queue": 8}


def _share(workers: int, settings: dict) -> tuple[torch.Tensor, ...]:
    rank = dist.get_rank() if dist.is_initialized() else 0
    method = coke(**settings)
    no_norm(method.network)
    share = slice(rank * 8 // workers, (rank + 1) * 8 // workers)
    train(method, 3, slices=share, lr=0.0)
    return method.knowledge().clusters, method.kmeans.duals, method.kmeans.epoch_centers, method.changes.total


@pytest.mark.parametrize(
    ("workers", "settings"),
    [pytest.param(2, {}, id="2"), pytest.param(4, {}, id="4", marks=pytest.mark.job), pytest.param(2, SINKHORN, id="2 sinkhorn")],
)
def test_workers_equal_one_process(gloo, workers, settings):
    labels, duals, centers, _ = _share(1, settings)
    for other_labels, other_duals, other_centers, _ in gloo(workers, _share, workers, settings):
        assert torch.equal(other_labels, labels)
        torch.testing.assert_close(other_duals, duals, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(other_centers, centers, atol=1e-5, rtol=1e-5)


def test_label_change_counts_only_instances_that_had_a_label():
    method = coke()
    assert train(method, 1)
    method.memory.labels[:, :10] = -1
    method.begin_epoch(1)
    changed = 0
    for batch in batches(1):
        before = method.memory.lookup(batch.ids, torch.device("cpu"))
        method.loss(method.network, batch)
        after = method.memory._observed[-1][1]["labels"]
        changed += int(((before >= 0) & (before != after)).sum())
        method.begin_update()
        method.finish_update()
    method.exchange()
    assert method.end_epoch().figures == {"label_change": pytest.approx(changed / (14 * 2))}
