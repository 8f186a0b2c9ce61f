"""The step of the duals where the user gives none; free of torch."""

from __future__ import annotations


def default_dual_lr(num_clusters: int, size_ratio: float, batches_per_epoch: float) -> float:
    """Step size of the duals (lambda), used where the user gives none: K / (ratio * N / B).

    A batch without a hit raises a price by lambda * ratio / K. With this step the price of a cluster that is never hit
    rises by 1 in an epoch, half the span of the similarities: slower leaves clusters empty for epochs, faster makes
    prices outweigh the similarities and labels swing. It gives 8 for ImageNet's K = 4000, ratio 0.4, 1250 batches
    (published: 20) and 0.05 for K = 50, ratio 0.9, 1100 batches (in use: about 0.1). A larger batch means fewer steps
    and so a larger lambda.

    Args:
        num_clusters: K.
        size_ratio: of the bound to the mean size. Of a maximum it says the same: the dual of one that is never hit falls by 1 in
            an epoch.
        batches_per_epoch: N / B.
    """
    return num_clusters / (max(size_ratio, 0.1) * max(batches_per_epoch, 1.0))
