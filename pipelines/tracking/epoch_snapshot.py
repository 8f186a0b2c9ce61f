"""What a worker tells the recorder at the end of an epoch, as arrays on the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # the recorder's process does without torch
    from algos.methods.method import EpochReport, InstanceGuesses

MOST_INSTANCES = 1_000_000  # that are sent and compared with the truth


@dataclass(frozen=True)
class EpochSnapshot:
    """Clusters, and for a method with classes its guesses, of the first instances.

    Attributes:
        clusters: (H, N) int32, -1 unseen.
        counts: (K,) rows of each cluster, per head.
        bounds: least and greatest size of a cluster, per head; infinity where there is no greatest.
        classes: guesses of each instance's class by name, (N,).
        reliable: (N,) bool; `None` without classes.
        prototypes: (C, D) unit rows; `None` without classes.
    """

    clusters: np.ndarray
    counts: list[np.ndarray]
    bounds: list[tuple[float, float]]
    classes: dict[str, np.ndarray] = field(default_factory=dict)
    reliable: np.ndarray | None = None
    prototypes: np.ndarray | None = None


def epoch_snapshot(report: EpochReport, knowledge: InstanceGuesses) -> EpochSnapshot:
    """The state from what the method says of its epoch and of the instances."""
    return EpochSnapshot(
        clusters=knowledge.clusters.numpy(),
        counts=[head.counts.cpu().numpy().astype(np.int64) for head in report.heads],
        bounds=[(head.min_size, head.max_size) for head in report.heads],
        classes={name: guess.numpy() for name, guess in knowledge.classes.items()},
        reliable=None if knowledge.reliable is None else knowledge.reliable.numpy(),
        prototypes=None if knowledge.prototypes is None else knowledge.prototypes.numpy(),
    )
