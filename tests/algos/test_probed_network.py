"""Classifiers on a backbone: each learns as if it were alone, and a frozen backbone stays as it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from algos.networks import ProbedNetwork, build_backbone


def backbone():
    torch.manual_seed(0)
    return build_backbone("wrn-10-1", image_size=8)


def test_a_frozen_backbone_gets_no_gradient_and_keeps_its_statistics():
    network = ProbedNetwork(backbone(), 3, 2, trains_backbone=False)
    before = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    loss = sum(F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])) for logits in network(torch.randn(4, 3, 8, 8)))
    loss.backward()
    assert all(parameter.grad is None for parameter in network.backbone.parameters())
    assert all(parameter.grad is not None for parameter in network.probes.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.backbone.state_dict().items())


def test_classifiers_do_not_know_of_each_other():
    images, labels = torch.randn(16, 3, 8, 8), torch.arange(16) % 3
    both, alone = (ProbedNetwork(backbone(), 3, probes, trains_backbone=False) for probes in (2, 1))
    for network, rates in ((both, (0.5, 0.1)), (alone, (0.1,))):
        groups = [{"params": list(probe.parameters()), "lr": rate} for probe, rate in zip(network.probes, rates, strict=True)]
        optimizer = torch.optim.SGD(groups, lr=0.0, momentum=0.9)
        for _ in range(5):
            optimizer.zero_grad()
            torch.stack([F.cross_entropy(logits, labels) for logits in network(images)]).sum().backward()
            optimizer.step()
    torch.testing.assert_close(both.probes[1].weight, alone.probes[0].weight)
    assert not torch.equal(both.probes[0].weight, both.probes[1].weight)


def test_a_trained_backbone_gets_gradients_through_frozen_statistics():
    network = ProbedNetwork(backbone(), 3, 1, trains_backbone=True)
    torch.nn.init.normal_(network.probes[0].weight)
    means = {name: tensor.clone() for name, tensor in network.named_buffers()}
    F.cross_entropy(network(torch.randn(4, 3, 8, 8))[0], torch.tensor([0, 1, 2, 0])).backward()
    assert all(parameter.grad is not None for parameter in network.backbone.parameters())
    assert all(torch.equal(means[name], tensor) for name, tensor in network.named_buffers())
