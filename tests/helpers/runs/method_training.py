"""A method trained as the loop trains it, on one worker of tensors made in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from algos.methods.method import Batch, Method


class Flat(nn.Module):
    """A backbone small enough to reason about, without BatchNorm: a row does not depend on the other rows."""

    num_features = 12

    def forward(self, images):
        return images.flatten(1)


def train_method(
    method: Method, batches: Callable[[int], Iterable[Batch]], epochs: range, *, lr: float
) -> tuple[list[float], list[dict[str, float]]]:
    """Losses of all steps and figures of all epochs."""
    losses, figures = [], []
    optimizer = torch.optim.SGD(method.network.parameters(), lr=lr)
    for epoch in epochs:
        method.begin_epoch(epoch)
        for batch in batches(epoch):
            loss = method.loss(method.network, batch)
            method.begin_update()
            if epoch >= method.clustering_epochs:
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            method.finish_update()
            losses.append(float(loss.detach()))
        method.exchange()
        figures.append(method.end_epoch().figures)
    return losses, figures


def go_on_in_mid_epoch(straight: Method, resumed: Method, batches: Iterable[Batch], epoch: int) -> None:
    """Clustering steps of an epoch: `resumed` takes over the state of `straight` after the first, and both go on."""
    straight.begin_epoch(epoch)
    for step, batch in enumerate(batches):
        if step == 1:
            straight.exchange()
            resumed.load_state_dict(straight.state_dict())
            resumed.begin_epoch(epoch)
        for method in [straight, resumed] if step else [straight]:
            method.loss(method.network, batch)
            method.begin_update()
            method.finish_update()
    for method in (straight, resumed):
        method.exchange()
