"""How clusters and pseudo-labels agree with the true classes. The recorder alone sees these; training does not."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from pipelines.tracking import figures as names
from pipelines.tracking.epoch_snapshot import EpochSnapshot


def cluster_scores(truth: ArrayLike, clusters: ArrayLike) -> dict[str, float]:
    """NMI and purity of clusters (N,) against classes (N,), by their plain names."""
    table = contingency_matrix(truth, clusters)
    return {
        "nmi": float(normalized_mutual_info_score(truth, clusters)),
        "purity": float(table.max(axis=0).sum() / table.sum()),
    }


def agreement(state: EpochSnapshot, truth: np.ndarray) -> dict[str, float]:
    """Figures by the names that they are recorded under.

    Args:
        state: of the epoch.
        truth: (N,) classes by instance id, -1 where unknown.
    """
    seen = (state.clusters[0, : len(truth)] >= 0) & (truth >= 0)
    truth = truth[seen]
    if not len(truth):
        return {}
    heads = [cluster_scores(truth, clusters[: len(seen)][seen]) for clusters in state.clusters]
    return names.of_heads(heads) | names.of_method(_pseudo_labels(state, truth, seen))


def _pseudo_labels(state: EpochSnapshot, truth: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Accuracy of each guess on all instances, and of the one that is trained on where it is reliable."""
    correct = {name: guess[: len(seen)][seen] == truth for name, guess in state.classes.items()}
    figures = {f"accuracy_{name}": float(right.mean()) for name, right in correct.items()}
    if state.reliable is not None:
        reliable = state.reliable[: len(seen)][seen]
        figures["coverage"] = float(reliable.mean())
        if reliable.any():
            figures["accuracy_reliable"] = float(correct["refined"][reliable].mean())
    return figures
