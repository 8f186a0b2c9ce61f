"""Online constrained k-means on two levels: a row finds its parent cluster first, then one of the clusters of that parent.

With M parents of some K / M clusters each a row is compared with M + K / M centers instead of K, so clusterings of 100,000
clusters and more are within reach. The parents stay as they are; centers and prices of the clusters are learned as always,
and their bounds are those of a flat clustering: shares of all rows, whatever the parent.

Shapes: B rows of a batch, D embedding size, M parents, K clusters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.step_arithmetic import assign, priced_similarities

BLOCK_ROWS = 16  # of one parent, compared with its clusters in one product; constant, so no label depends on other rows
ROWS_OF_PARENT = 4  # that should come together
NUMBERS_HELD = 1 << 24  # of centers, gathered for the blocks of one product


class NestedConstrainedKMeans(OnlineConstrainedKMeans):
    """Clusters below frozen parents, as one head; see the module.

    Args:
        parent_centers: (M, D).
        parent_prices: (M,).
        child_counts: (M,) int64 clusters of each parent; cluster numbers run through the parents in turn.
        initial_centers: (K, D).
        options: as of `OnlineConstrainedKMeans`, for the K clusters.
    """

    parent_centers: Tensor
    parent_prices: Tensor
    child_counts: Tensor

    def __init__(
        self, parent_centers: Tensor, parent_prices: Tensor, child_counts: Tensor, initial_centers: Tensor, **options: Any
    ) -> None:
        super().__init__([len(initial_centers)], initial_centers.shape[1], initial_centers=initial_centers, **options)
        counts = child_counts
        if len(counts) != len(parent_centers) or int(counts.sum()) != len(initial_centers) or int(counts.min()) < 1:
            raise ValueError(
                f"{len(parent_centers)} parents, {len(counts)} numbers of children of {int(counts.sum())} clusters in all, "
                f"but {len(initial_centers)} centers; each parent needs at least one"
            )
        self.register_buffer("parent_centers", parent_centers.to(self.centers).clone())
        self.register_buffer("parent_prices", parent_prices.to(self.centers).clone())
        self.register_buffer("child_counts", child_counts.clone())
        self._widest = int(counts.max())

    @property
    def numbers_per_row(self) -> int:
        """Numbers that labelling holds for each row: similarities to the parents, or to the clusters of one, or its center."""
        return max(len(self.parent_centers), self._widest, self.centers.shape[1])

    @property
    def rows_together(self) -> int:
        """Least rows that are worth a call of `assign`: centers are then fetched for several rows of their parent."""
        return ROWS_OF_PARENT * len(self.parent_centers)

    @property
    def first_child(self) -> Tensor:
        """Number of each parent's first cluster, (M,) int64."""
        return self.child_counts.cumsum(0) - self.child_counts

    @property
    def parent_of(self) -> Tensor:
        """Parent of each cluster, (K,) int64."""
        return torch.arange(len(self.child_counts), device=self.child_counts.device).repeat_interleave(self.child_counts)

    @torch.no_grad()
    def assign_parents(self, embeddings: Tensor) -> Tensor:
        """Parent of each row (B, D), (B,) int64."""
        rows = embeddings.to(self.centers.dtype)
        return assign(priced_similarities(rows, self.parent_centers, self.parent_prices, spherical=self.spherical))

    @torch.no_grad()
    def assign(self, embeddings: Tensor) -> Tensor:
        """Labels of rows (B, D) under the running centers and prices, (1, B) int64; changes nothing."""
        return self.assign_within(embeddings, self.assign_parents(embeddings))[None]

    @torch.no_grad()
    def assign_within(self, embeddings: Tensor, parents: Tensor) -> Tensor:
        """Labels (B,) int64 of rows (B, D) among the clusters of given parents (B,)."""
        rows, first, labels = embeddings.to(self.centers.dtype), self.first_child, torch.empty_like(parents)
        for members, owners in self._blocks(parents):
            priced, _ = self._priced_blocks(rows, members, first[owners], self.child_counts[owners])
            found = priced.argmax(dim=2) + first[owners][:, None]
            labels[members[members >= 0]] = found[members >= 0]
        return labels

    @torch.no_grad()
    def priced_within(self, embeddings: Tensor, parents: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What `assign_within` takes the maximum of, some rows at a time, of which those of a parent come in their order.

        Yields:
            Places (n,) among rows (B, D), priced similarities (n, C) to the clusters of given parents (B,), -inf where a parent
            has no more of them, and the clusters (n, C) int64.
        """
        rows, first = embeddings.to(self.centers.dtype), self.first_child
        for members, owners in self._blocks(parents):
            priced, clusters = self._priced_blocks(rows, members, first[owners], self.child_counts[owners])
            block, place = (members >= 0).nonzero(as_tuple=True)
            yield members[block, place], priced[block, place], clusters[block]

    def _blocks(self, parents: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows in blocks of one parent: places (b, BLOCK_ROWS), -1 where there is none; parents (b,); some blocks at a time."""
        order = parents.argsort(stable=True)
        sizes = parents.bincount(minlength=len(self.child_counts))
        within = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[parents[order]]
        blocks = -(-sizes // BLOCK_ROWS)
        block = (blocks.cumsum(0) - blocks)[parents[order]] + within // BLOCK_ROWS
        places = order.new_full((int(blocks.sum()), BLOCK_ROWS), -1)
        places[block, within % BLOCK_ROWS] = order
        owners = torch.arange(len(blocks), device=order.device).repeat_interleave(blocks)
        held = max(NUMBERS_HELD // (self._widest * self.centers.shape[1]), 1)
        yield from zip(places.split(held), owners.split(held), strict=True) if len(places) else ()

    def _priced_blocks(self, rows: Tensor, members: Tensor, first: Tensor, children: Tensor) -> tuple[Tensor, Tensor]:
        """Priced similarities (b, BLOCK_ROWS, C) of blocks of rows to their parents' clusters, -inf beyond; clusters (b, C)."""
        place = torch.arange(self._widest, device=first.device)
        clusters = (first[:, None] + place).clamp(max=len(self.centers) - 1)
        centers, prices = self.running_centers[clusters], self.prices[clusters]
        prices = prices if self.spherical else prices - centers.square().sum(dim=2) / 2
        prices = prices.masked_fill(place >= children[:, None], -torch.inf)
        return torch.baddbmm(prices[:, None], rows[members.clamp(min=0)], centers.transpose(1, 2)), clusters
