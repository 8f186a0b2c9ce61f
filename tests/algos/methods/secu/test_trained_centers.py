"""Centers trained by gradient descent, against torch's own optimisers and the core's duals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from algos.kmeans.step_arithmetic import ascend
from algos.methods.secu.trained_centers import CenterTraining, TrainedCenters


def unit(*shape, seed=0):
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64), dim=-1)


def trained(heads=(4, 3), **training):
    return TrainedCenters(
        list(heads), 5, CenterTraining(**training), min_size_ratio=0.9, dual_lr=0.5, seed=1, dtype=torch.float64
    )


def step(core, views):
    labels = core.assign_batch(torch.stack(views).mean(dim=0))
    loss = core.collect_views(views, labels)
    core.begin_update()
    core.finish_update()
    return labels, loss


def written_loss(heads, views, labels, temperature):
    """The mean over heads and views of the cross-entropy in which a row's own logit alone has a gradient."""
    losses = []
    for weights, own in zip(heads, labels, strict=True):
        for view in views:
            logits = view @ F.normalize(weights, dim=1).T / temperature
            mine = F.one_hot(own, len(weights)).bool()
            losses.append(F.cross_entropy(torch.where(mine, logits, logits.detach()), own))
    return torch.stack(losses).mean()


def test_steps_are_those_of_sgd_on_the_written_loss():
    core = trained(temperature=0.3, lr=0.7, momentum=0.9, weight_decay=0.01)
    heads = [head.clone().requires_grad_() for head in core.per_head(core.weights)]
    optimizer = torch.optim.SGD(heads, lr=0.7, momentum=0.9, weight_decay=0.01)
    for seed in range(4):
        views = list(unit(2, 12, 5, seed=seed))
        labels, loss = step(core, views)
        expected = written_loss(heads, views, labels, 0.3)
        optimizer.zero_grad()
        expected.backward()
        optimizer.step()
        assert float(loss) == pytest.approx(float(expected))
        torch.testing.assert_close(core.weights, torch.cat(heads).detach())
        torch.testing.assert_close(core.centers, F.normalize(torch.cat(heads).detach(), dim=1))


def test_a_step_of_lars_is_as_long_as_its_trust_in_each_head():
    core = trained(lr=2.0, trust=0.01, momentum=0.0, weight_decay=0.0)
    before = core.weights.clone()
    step(core, list(unit(2, 12, 5)))
    for was, now in zip(core.per_head(before), core.per_head(core.weights), strict=True):
        assert float((now - was).norm()) == pytest.approx(2.0 * 0.01 * float(was.norm()))


def test_a_cluster_without_rows_keeps_its_center_and_its_price_rises():
    core = trained([3], momentum=0.0, weight_decay=0.0)
    with torch.no_grad():
        core.centers.copy_(torch.eye(3, 5))
        core.weights.copy_(core.centers)
    labels, _ = step(core, [torch.eye(2, 5, dtype=torch.float64)])
    assert labels.tolist() == [[0, 1]]
    assert core.centers[2].tolist() == [0.0, 0.0, 1.0, 0.0, 0.0]
    shares, least = torch.tensor([0.5, 0.5, 0.0]), torch.full((3,), 0.3)
    expected = ascend(torch.zeros(3), shares, least, torch.tensor(0.5), equality=False)
    torch.testing.assert_close(core.duals, expected.double())  # 0, 0 and .5 * .3
    assert core.counts.tolist() == [1.0, 1.0, 0.0]


def test_a_row_counts_once_however_many_views_it_has():
    core = trained()
    step(core, list(unit(4, 8, 5)))
    assert [float(head.counts.sum()) for head in core.end_epoch()] == [8.0, 8.0]


def test_one_view_is_collected_as_rows_are_by_the_core():
    first, second, rows = trained(), trained(), unit(8, 5)
    first.partial_fit(rows)
    step(second, [rows])
    assert torch.equal(first.weights, second.weights)
    with pytest.raises(ValueError, match="every row once"):
        first.partial_fit(rows, torch.ones(8))


def test_centers_of_another_clustering_are_what_is_trained():
    core = trained()
    core.start_from(torch.eye(7, 5), torch.zeros(7))
    assert torch.equal(core.weights, torch.eye(7, 5, dtype=torch.float64))
