"""What a worker sends in a step and in an epoch's exchange, by formula. Symbols: W workers, B rows of a step, N instances.

A ring's sum of P bytes makes each worker send 2 P (W - 1) / W, whatever W is. Gloo and NCCL both sum so.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from algos.methods.clustered_method import ClusteredMethod
from algos.methods.protocon.method import ProtoCon
from pipelines.views.view_config import Views

ID_BYTES, GRADIENT_BYTES = 8, 4  # of an id and of a weight's gradient, which is summed in float32


@dataclass(frozen=True)
class Payloads:
    """Bytes before they are divided among workers.

    Attributes:
        gradients: summed at each step.
        clustering: likewise: counts and sums of the rows of each cluster, and what else a method sums.
        exchange: of one instance, once an epoch.
        images: of one row of a step, as it leaves Ray Data.
    """

    gradients: int
    clustering: int
    exchange: int
    images: int

    @classmethod
    def of(cls, method: ClusteredMethod, views: Views) -> Payloads:
        """Of a method that is built, on images in these views."""
        return cls(gradient_bytes(method.network), clustering_bytes(method), exchange_bytes(method), image_bytes(views))

    def sent(self, part: str, workers: int) -> float:
        """Bytes that each of W workers sends of `gradients` or of `clustering` in a step."""
        return 2 * (workers - 1) / workers * float(getattr(self, part))

    def exchanged(self, workers: int, instances: int) -> float:
        """Bytes that each of W workers sends when an epoch's N instances are exchanged: its share, to all others.

        Each has a node of its own; of those that share one, only the rows of other nodes travel.
        """
        return (workers - 1) / workers * instances * self.exchange

    def received(self, workers: int, rows: int) -> float:
        """Bytes of images that each of W workers takes from Ray Data for a step of B rows."""
        return rows / workers * self.images


def gradient_bytes(network: nn.Module) -> int:
    """Of the weights that are trained."""
    return GRADIENT_BYTES * sum(weight.numel() for weight in network.parameters() if weight.requires_grad)


def clustering_bytes(method: ClusteredMethod) -> int:
    """Counts and sums of all clusters; ProtoCon also sums guesses (C), labelled guesses (C), targets (D) and three numbers."""
    statistics = method.kmeans.statistics.nbytes
    if not isinstance(method, ProtoCon):
        return statistics
    return statistics + 4 * (2 * method.num_classes + method.config.dim + 3)


def exchange_bytes(method: ClusteredMethod) -> int:
    """Of an instance: its id, and what the memory holds of it."""
    return ID_BYTES + method.memory.bytes_per_instance


def image_bytes(views: Views) -> int:
    """Of a row: its id, its label, and three bytes for each pixel of each view."""
    return 2 * ID_BYTES + sum(3 * view.size**2 for view in views.flat)
