"""How clusters and pseudo-labels agree with the true classes. The recorder alone sees these; training does not."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from pipelines.tracking.epoch_snapshot import EpochSnapshot


def agreement(state: EpochSnapshot, truth: np.ndarray) -> dict[str, float]:
    """Figures by name.

    Args:
        state: of the epoch.
        truth: (N,) classes by instance id, -1 where unknown.
    """
    seen = (state.clusters[0, : len(truth)] >= 0) & (truth >= 0)
    truth = truth[seen]
    figures: dict[str, float] = {}
    if not len(truth):
        return figures
    for head, clusters in enumerate(state.clusters):
        mine = clusters[: len(seen)][seen]
        figures[f"nmi_head{head}"] = float(normalized_mutual_info_score(truth, mine))
        figures[f"purity_head{head}"] = float(contingency_matrix(truth, mine).max(axis=0).sum() / len(truth))
    return figures | _pseudo_labels(state, truth, seen)


def _pseudo_labels(state: EpochSnapshot, truth: np.ndarray, seen: np.ndarray) -> dict[str, float]:
    """Accuracy of each guess on all instances, and of the one that is trained on where it is reliable."""
    correct = {name: guess[: len(seen)][seen] == truth for name, guess in state.classes.items()}
    figures = {f"pseudo_accuracy_{name}": float(right.mean()) for name, right in correct.items()}
    if state.reliable is not None:
        reliable = state.reliable[: len(seen)][seen]
        figures["pseudo_coverage"] = float(reliable.mean())
        if reliable.any():
            figures["pseudo_accuracy_reliable"] = float(correct["refined"][reliable].mean())
    return figures
