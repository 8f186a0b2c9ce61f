"""The clustering that a method's settings ask for."""

from __future__ import annotations

import math
from typing import Any

from algos.balanced.plan_settings import default_queue
from algos.balanced.sinkhorn_kmeans import SinkhornKMeans
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.methods.assignment import AssignmentSettings


def build_kmeans(config: AssignmentSettings, heads: list[int], *, batch_size: int, **options: Any) -> OnlineConstrainedKMeans:
    """A clustering of fresh centers.

    Args:
        config: of the method.
        heads: K of each.
        batch_size: rows of a global batch.
        options: further ones of `OnlineConstrainedKMeans`.
    """
    if config.assignment == "sinkhorn":
        rows = default_queue(max(heads), batch_size) if config.sinkhorn_queue is None else config.sinkhorn_queue
        return SinkhornKMeans(
            heads, config.dim, epsilon=config.sinkhorn_epsilon, iterations=config.sinkhorn_iterations, batch_size=batch_size,
            queued_batches=math.ceil(rows / batch_size), **options,
        )  # fmt: skip
    usual = config.usual_ratio if config.assignment == "constrained" else 0.0
    ratio = usual if config.min_size_ratio is None else config.min_size_ratio
    return OnlineConstrainedKMeans(
        heads, config.dim, min_size_ratio=ratio, max_size_ratio=config.max_size_ratio, dual_lr=config.dual_lr, **options
    )
