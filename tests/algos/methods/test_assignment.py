"""One key says how rows find their clusters; what it has no use for is refused, and what it leaves out has its usual value."""

from __future__ import annotations

import pytest
import torch

from algos.balanced.sinkhorn_kmeans import SinkhornKMeans
from algos.methods.clustering import build_kmeans
from algos.methods.coke.config import CoKeConfig
from algos.methods.protocon.config import ProtoConConfig

CONFIGS = [CoKeConfig, ProtoConConfig]


def build(config, heads=(4, 3), batch_size=8):
    return build_kmeans(config, list(heads), batch_size=batch_size, batches_per_epoch=10, seed=0)


@pytest.mark.parametrize(("kind", "usual"), zip(CONFIGS, [0.4, 0.9], strict=True))
def test_a_minimum_that_is_not_given_is_the_published_one(kind, usual):
    left_out, given = build(kind()), build(kind(min_size_ratio=usual))
    assert torch.equal(left_out.min_share, given.min_share)
    assert torch.equal(left_out.dual_lr, given.dual_lr)
    assert left_out.min_share.tolist() == pytest.approx([usual / 4] * 4 + [usual / 3] * 3)


@pytest.mark.parametrize("kind", CONFIGS)
def test_none_is_the_core_with_a_minimum_of_zero(kind):
    none, zero = build(kind(assignment="none")), build(kind(min_size_ratio=0.0))
    rows = torch.nn.functional.normalize(torch.randn(5, 8, none.centers.shape[1]), dim=2)
    for batch in rows:
        assert torch.equal(none.partial_fit(batch), zero.partial_fit(batch))
    assert torch.equal(none.centers, zero.centers)
    assert none.prices.abs().sum() == 0


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("assignment", ["none", "sinkhorn"])
@pytest.mark.parametrize(
    ("bounds", "named"),
    [
        ({"min_size_ratio": 0.4}, r"method.min_size_ratio is 0\.4"),
        ({"dual_lr": 20.0}, r"method.dual_lr is 20\.0"),
        ({"min_size_ratio": 1.0, "max_size_ratio": 2.0}, r"method.min_size_ratio is 1\.0 and method.max_size_ratio is 2\.0"),
    ],
)
def test_bounds_are_refused_where_nothing_bounds(kind, assignment, bounds, named):
    with pytest.raises(ValueError, match=rf"method.assignment is {assignment}, which knows no bounds, but {named}; set .* null"):
        kind(assignment=assignment, **bounds)
    kind(assignment=assignment, min_size_ratio=0.0)  # which bounds nothing


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("plan", [{"sinkhorn_epsilon": 0.1}, {"sinkhorn_iterations": 5}, {"sinkhorn_queue": 0}])
def test_settings_of_a_plan_are_refused_where_there_is_none(kind, plan):
    [key] = plan
    with pytest.raises(ValueError, match=rf"method.{key} is .*, but method.assignment is none, .* set it to sinkhorn"):
        kind(assignment="none", **plan)
    kind(assignment="sinkhorn", **plan)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sinkhorn_epsilon": 0.001}, r"method.sinkhorn_epsilon is 0.001; give 0.01 or more"),
        ({"sinkhorn_epsilon": float("nan")}, r"method.sinkhorn_epsilon is nan"),
        ({"sinkhorn_iterations": 0}, "method.sinkhorn_iterations is 0; it must be positive"),
        ({"sinkhorn_queue": -1}, "method.sinkhorn_queue is -1; give rows"),
    ],
)
def test_values_out_of_range_name_their_key(settings, message):
    with pytest.raises(ValueError, match=message):
        CoKeConfig(assignment="sinkhorn", **settings)


@pytest.mark.parametrize(("queue", "batches"), [(None, 2), (0, 0), (8, 1), (9, 2)])
def test_a_queue_holds_whole_batches(queue, batches):
    made = build(CoKeConfig(assignment="sinkhorn", sinkhorn_queue=queue), heads=[16, 3])  # 4/3 of 16 rows are 8 and 14 more
    assert isinstance(made, SinkhornKMeans)
    assert (made.queue.shape[0] if batches else made._queued_batches) == batches
