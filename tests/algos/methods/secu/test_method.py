"""The method: a step by hand, what learns when, learning on digits-like rows, its state, and its workers."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from algos.methods.method import Batch
from algos.methods.secu.config import SeCuConfig
from algos.methods.secu.method import SeCu
from tests.helpers.runs.method_training import Flat, go_on_in_mid_epoch, train_method


def secu(seed=0, **settings):
    torch.manual_seed(seed)
    config = SeCuConfig(**({"num_clusters": [5, 3], "dim": 6, "dual_lr": 1.0, "center_lr": 0.3} | settings))
    return SeCu(config, Flat(), num_instances=24, batch_size=8, seed=seed)


def batches(epoch, rows=slice(None)):
    """Two noisy views of 24 instances around four directions."""
    lumps = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(99)) * 2
    generator = torch.Generator().manual_seed(epoch)
    images = lumps[torch.arange(24) % 4] + 0.5 * torch.randn(2, 24, 3, 2, 2, generator=generator)
    for ids in torch.randperm(24, generator=generator).split(8):
        mine = ids[rows]
        yield Batch(mine, [images[0, mine], images[1, mine]], [])


def no_norm(network):
    """Drop BatchNorm, so that a row's embedding does not depend on the worker it is on."""
    for name, child in network.named_children():
        if isinstance(child, nn.BatchNorm1d):
            setattr(network, name, nn.Identity())
        else:
            no_norm(child)


def entropy(logits, targets):
    return -(targets * logits.log_softmax(dim=1)).sum(dim=1).mean()


@pytest.mark.parametrize("predictor_hidden", [0, 7])
def test_a_step_is_the_written_loss(predictor_hidden):
    method = secu(num_clusters=[5], predictor_hidden=predictor_hidden, projector_layers=3 if predictor_hidden else 2)
    train_method(method, batches, range(2), lr=0.01)
    method.begin_epoch(2)
    batch = next(iter(batches(2)))
    (first, second), predicted = method.network([batch.large])[0]
    spaces = [(first, second)] + ([tuple(predicted)] if predictor_hidden else [])
    centers, before = method.kmeans.centers, method.kmeans.epoch_centers
    mean = sum(one + other for one, other in spaces) / (2 * len(spaces))
    fresh = (mean @ centers.T + method.kmeans.duals).argmax(dim=1)
    stored = F.one_hot(method.memory.labels[0, batch.ids].long(), 5).float()
    losses = []
    for space in spaces:
        for own, other in (space, space[::-1]):
            belief = ((second if other is space[1] else first) @ before.T / 0.05).softmax(dim=1).detach()
            losses.append(entropy(own @ before.T / 0.05, 0.2 * stored + 0.8 * belief))
            losses.append(F.cross_entropy(own @ centers.T / 0.05, fresh))  # its value; its gradient is the centers' own
    torch.testing.assert_close(method.loss(method.network, batch), torch.stack(losses).mean() * 2)
    assert torch.equal(method.memory._observed[0][1]["labels"][0].long(), fresh)


def test_the_network_gets_no_gradient_of_the_centers_loss():
    with_centers, without = secu(), secu(center_temperature=5.0)
    for method in (with_centers, without):
        method.begin_epoch(1)
        method.loss(method.network, next(iter(batches(1)))).backward()
    for one, other in zip(with_centers.network.parameters(), without.network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_in_epoch_zero_only_centers_and_prices_learn():
    method = secu()
    weights = [parameter.clone() for parameter in method.network.parameters()]
    centers = method.kmeans.centers.clone()
    train_method(method, batches, range(1), lr=0.1)
    assert all(torch.equal(was, now) for was, now in zip(weights, method.network.parameters(), strict=True))
    assert (method.kmeans.centers - centers).norm(dim=1).min() > 0
    assert torch.equal(method.kmeans.epoch_centers, method.kmeans.centers)


def test_the_targets_are_labels_and_centers_of_the_epoch_before():
    method = secu()
    train_method(method, batches, range(1), lr=0.1)
    snapshot, labels = method.kmeans.epoch_centers.clone(), method.memory.labels.clone()
    method.begin_epoch(1)
    for batch in batches(1):
        method.loss(method.network, batch)
        method.begin_update()
        method.finish_update()
        assert torch.equal(method.kmeans.epoch_centers, snapshot)
        assert torch.equal(method.memory.labels, labels)
    assert not torch.equal(method.kmeans.centers, snapshot)


@pytest.mark.parametrize("settings", [{}, {"projector_layers": 3, "predictor_hidden": 8}, {"center_trust": 0.05}], ids=str)
def test_it_learns_and_its_figures_say_so(settings):
    method = secu(num_clusters=[4], min_size_ratio=0.9, dual_lr=0.1, temperature=0.2, center_temperature=0.2, **settings)
    losses, figures = train_method(method, batches, range(20), lr=0.05)
    assert sum(losses[-3:]) < sum(losses[3:6])
    assert figures[0].keys() == {"loss_representation", "loss_centers"}
    assert figures[-1].keys() == {"loss_representation", "loss_centers", "label_change"}
    assert sum(figures[-1][name] for name in ("loss_representation", "loss_centers")) == pytest.approx(sum(losses[-3:]) / 3)


def test_clusters_become_the_lumps_that_the_rows_lie_in():
    method = secu(num_clusters=[4], dual_lr=0.1, temperature=0.2, center_temperature=0.2)
    train_method(method, batches, range(20), lr=0.05)
    clusters = method.knowledge().clusters[0]
    assert len(set(zip((torch.arange(24) % 4).tolist(), clusters.tolist(), strict=True))) == 4


def test_state_in_mid_epoch_goes_on_bit_for_bit():
    straight, resumed = secu(), secu(seed=5)
    train_method(straight, batches, range(2), lr=0.05)
    go_on_in_mid_epoch(straight, resumed, batches(2), 2)
    assert straight.end_epoch().figures == resumed.end_epoch().figures
    for name in ("centers", "weights", "velocity", "duals", "epoch_centers"):
        assert torch.equal(getattr(straight.kmeans, name), getattr(resumed.kmeans, name)), name
    assert torch.equal(straight.knowledge().clusters, resumed.knowledge().clusters)


def _share(bounds):
    rank = dist.get_rank() if dist.is_initialized() else 0
    method = secu()
    no_norm(method.network)
    rows = slice(bounds[rank], bounds[rank + 1])
    _, figures = train_method(method, lambda epoch: batches(epoch, rows), range(3), lr=0.0)
    return method.knowledge().clusters, method.kmeans.state_dict(), figures[-1]


def test_workers_with_different_rows_equal_one_process(gloo):
    labels, state, figures = _share([0, 8])
    for other_labels, other, other_figures in gloo(2, _share, [0, 3, 8]):
        assert torch.equal(other_labels, labels)
        assert other_figures == pytest.approx(figures, rel=1e-5)
        for name in ("duals", "weights", "velocity", "centers"):
            torch.testing.assert_close(other[name], state[name], atol=1e-5, rtol=1e-5)


def test_images_are_assigned_as_they_were_while_training():
    method = secu()
    train_method(method, batches, range(2), lr=0.05)
    batch = next(iter(batches(2)))
    method.network.eval()
    features, clusters = method.embed(batch.large[0])
    [(projected, _)] = method.network([[batch.large[0]]])
    assert torch.equal(features, batch.large[0].flatten(1))
    assert torch.equal(clusters, method.kmeans.assign(projected[0]))
