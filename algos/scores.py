"""Scores of frozen features and of clusterings. Shapes: Q queries, M bank rows, F features, C classes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.class_scores import Guesses

ROUNDING = 1e-9  # of a bound; a smaller miss is none
CHUNK = 1 << 24  # similarities, or numbers of the bank, at a time


def knn_predict(
    queries: Tensor, bank: Tensor, bank_labels: Tensor, *, num_classes: int, neighbours: int = 20, temperature: float = 0.07
) -> Tensor:
    """Class of each query (Q,) int64 by the vote of its nearest bank rows; arguments as of `knn_guesses`."""
    found = knn_guesses(
        queries, bank, bank_labels, num_classes=num_classes, neighbours=[neighbours], temperature=temperature
    )  # fmt: skip
    return found[neighbours].first


@torch.no_grad()
def knn_guesses(
    queries: Tensor, bank: Tensor, bank_labels: Tensor, *, num_classes: int, neighbours: Sequence[int], temperature: float = 0.07
) -> dict[int, Guesses]:
    """Classes of Q queries by a weighted vote of their nearest bank rows, for each number of neighbours; these are found once.

    A neighbour's weight is exp(cosine similarity / temperature), after Wu et al., "Unsupervised Feature Learning via
    Non-Parametric Instance Discrimination", CVPR 2018.

    Args:
        queries: (Q, F).
        bank: (M, F); fewer rows than neighbours all vote.
        bank_labels: (M,) int64.
        num_classes: C.
        neighbours: voters, one number or several.
        temperature: of the vote.
    """
    most, block = min(max(neighbours), len(bank)), max(1, CHUNK // bank.shape[1])
    parts: dict[int, list[Guesses]] = {k: [] for k in neighbours}
    for chunk in F.normalize(queries, dim=1).split(max(1, CHUNK // max(min(block, len(bank)), num_classes))):
        similarity, nearest = _nearest(chunk, bank, block, most)
        # Relative to the nearest: the weights of a low temperature would overflow.
        weights = ((similarity - similarity[:, :1]) / temperature).exp()
        for k, found in parts.items():
            votes = similarity.new_zeros(len(chunk), num_classes)
            votes.scatter_add_(1, bank_labels[nearest[:, :k]], weights[:, :k])
            found.append(Guesses.of_votes(votes))
    return {k: Guesses.joined(found) for k, found in parts.items()}


def _nearest(queries: Tensor, bank: Tensor, block: int, neighbours: int) -> tuple[Tensor, Tensor]:
    """Cosine similarities (Q, n) and rows (Q, n) of the nearest; the bank is normalised a block at a time, not copied whole."""
    found: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank), block):
        part = F.normalize(bank[start : start + block], dim=1)
        similarity, rows = (queries @ part.T).topk(min(neighbours, len(part)), dim=1)
        rows += start
        if found is not None:
            similarity, rows = torch.cat([found[0], similarity], dim=1), torch.cat([found[1], rows], dim=1)
            similarity, kept = similarity.topk(min(neighbours, rows.shape[1]), dim=1)
            rows = rows.gather(1, kept)
        found = similarity, rows
    assert found is not None, "a bank has rows"
    return found


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Share of equal entries."""
    return float((predictions == labels).double().mean())


def size_figures(counts: Tensor, min_size: float, max_size: float = math.inf) -> dict[str, float]:
    """What a cluster-size distribution looks like: smallest, largest, median, normalised entropy, bounds, and misses of them.

    Args:
        counts: (K,) rows of each cluster.
        min_size: gamma, the minimum asked for.
        max_size: Gamma, the maximum asked for; infinity for none, of which nothing is said.
    """
    share = counts.double() / counts.sum().clamp(min=1)
    entropy = -(share * share.clamp(min=1e-12).log()).sum() / torch.log(torch.tensor(float(max(len(counts), 2))))
    over = float((counts > max_size * (1 + ROUNDING)).sum())
    above = {"max_size": max_size, "clusters_above_maximum": over} if max_size < math.inf else {}
    return {
        "cluster_size_min": float(counts.min()),
        "cluster_size_max": float(counts.max()),
        "cluster_size_median": float(counts.double().quantile(0.5)),
        "cluster_size_entropy": float(entropy),
        "min_size": min_size,
        "empty_clusters": float((counts == 0).sum()),
        "clusters_below_minimum": float((counts < min_size * (1 - ROUNDING)).sum()),
        "smallest_to_minimum": float(counts.min() / min_size) if min_size > 0 else 1.0,
        **above,
    }


def linear_probe(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    epochs: int = 100,
    batch_size: int | None = None,
    lr: float = 0.1,
    seed: int = 0,
) -> torch.nn.Sequential:
    """A linear classifier on frozen features (M, F) with labels (M,) int64: SGD, momentum 0.9, cosine, as CoKe's appendix.

    The features are standardised by their own mean and deviation, inside the returned module. They are cached, so unlike the
    published protocol the images are not augmented. The batch is the published 1024, or less where that left few steps.
    """
    batch_size = batch_size or min(1024, max(64, len(features) // 64))
    generator = torch.Generator().manual_seed(seed)
    mean, std = features.mean(dim=0), features.std(dim=0, correction=min(1, len(features) - 1)).clamp(min=1e-6)
    linear = torch.nn.Linear(features.shape[1], num_classes).to(features.device)
    torch.nn.init.zeros_(linear.weight)
    torch.nn.init.zeros_(linear.bias)
    standardise = _Standardise(mean, std)
    optimizer = torch.optim.SGD(linear.parameters(), lr=lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(features), generator=generator).to(features.device).split(batch_size):
            loss = F.cross_entropy(linear(standardise(features[rows])), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    return torch.nn.Sequential(standardise, linear).eval()


class _Standardise(torch.nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std
