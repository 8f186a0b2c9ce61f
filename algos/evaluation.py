"""Scores of frozen features and of clusterings. Shapes: Q queries, M bank rows, F features, C classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = 1024  # queries at a time, so that the similarities stay small


@torch.no_grad()
def knn_predict(
    queries: Tensor, bank: Tensor, bank_labels: Tensor, *, num_classes: int, neighbours: int = 20, temperature: float = 0.07
) -> Tensor:
    """Class of each query (Q,) int64 by a weighted vote of its nearest bank rows.

    A neighbour's weight is exp(cosine similarity / temperature), after Wu et al., "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination", CVPR 2018.

    Args:
        queries: (Q, F).
        bank: (M, F); fewer rows than `neighbours` all vote.
        bank_labels: (M,) int64.
        num_classes: C.
        neighbours: voters.
        temperature: of the vote.
    """
    bank = F.normalize(bank, dim=1)
    predictions = []
    for chunk in F.normalize(queries, dim=1).split(CHUNK):
        similarity, nearest = (chunk @ bank.T).topk(min(neighbours, len(bank)), dim=1)
        votes = similarity.new_zeros(len(chunk), num_classes)
        votes.scatter_add_(1, bank_labels[nearest], (similarity / temperature).exp())
        predictions.append(votes.argmax(dim=1))
    return torch.cat(predictions)


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of equal entries."""
    return float((predictions == labels).double().mean())


def size_figures(counts: Tensor, min_size: float) -> dict[str, float]:
    """What a cluster-size distribution looks like: smallest, largest, normalised entropy, empty clusters, and misses of the minimum.

    Args:
        counts: (K,) rows of each cluster.
        min_size: gamma, the minimum asked for.
    """
    share = counts.double() / counts.sum().clamp(min=1)
    entropy = -(share * share.clamp(min=1e-12).log()).sum() / torch.log(torch.tensor(float(max(len(counts), 2))))
    return {
        "cluster_size_min": float(counts.min()),
        "cluster_size_max": float(counts.max()),
        "cluster_size_entropy": float(entropy),
        "empty_clusters": float((counts == 0).sum()),
        "clusters_below_minimum": float((counts < min_size).sum()),
        "smallest_to_minimum": float(counts.min() / min_size) if min_size > 0 else 1.0,
    }
