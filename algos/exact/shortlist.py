"""Minimum sizes for tables that no memory holds: a repair that looks at the rows that are cheapest to move, and at no others.

For each cluster the rows of other clusters that lose least by joining it are listed, in one pass over the table; the exact repair
of `algos.exact.repair_sizes` runs on those alone, while all other rows stay where they are. Its labels keep every minimum. How
far they are from the best ones is bounded over the whole table by the prices that the rows were labelled under (weak duality).

Shapes: B rows of a batch, K clusters, S listed rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from algos.exact.repair_sizes import optimal_flow

SPARE = 16  # rows listed for a cluster beyond four times what it lacks, so that moves may go by way of clusters that lack none
BUFFER = 1 << 18  # entries that may wait to be sorted, or as many as are listed


def widths(counts: Tensor, min_size: int, factor: int = 1) -> Tensor:
    """Rows to list for each cluster of these sizes, (K,) int64; `factor` widens lists that were too short."""
    lacking = (min_size - counts).clamp(min=0)
    return factor * (4 * lacking + lacking.sum().clamp(max=SPARE))


class Shortlist:
    """For each cluster the rows of others that lose least by joining it, the lowest places first among equal losses.

    Lists of the parts of a table, merged, are the list of the table, whatever the parts. An entry is a row and a cluster.

    Args:
        widths: (K,) int64 most entries of each cluster.
    """

    def __init__(self, widths: Tensor) -> None:
        self.widths = widths
        none = widths.new_empty(0)
        self._entries = [(none, torch.empty(0, device=widths.device), none, none)]
        self._waiting = 0
        self._limits = torch.where(widths > 0, torch.inf, -torch.inf)  # loss (K,) that an entry must stay below

    def add(self, priced: Tensor, labels: Tensor, places: Tensor) -> None:
        """List rows by their priced similarities (B, K) and labels (B,); their places (B,) are above those added before."""
        losses = priced.gather(1, labels[:, None]) - priced
        losses.scatter_(1, labels[:, None], torch.inf)
        rows, clusters = (losses < self._limits).nonzero(as_tuple=True)
        self.merge(clusters, losses[rows, clusters], places[rows], labels[rows])

    def merge(self, clusters: Tensor, losses: Tensor, places: Tensor, owners: Tensor) -> None:
        """Take up entries of another list, each (E,)."""
        self._entries.append((clusters, losses, places, owners))
        self._waiting += len(clusters)
        if self._waiting > max(BUFFER, len(self._entries[0][0])):
            self.entries()

    def entries(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The list, by cluster and loss, each (E,).

        Returns:
            The clusters, what each row's priced similarity is less there than in its own cluster, the rows' places, and their
            own clusters.
        """
        clusters, losses, places, owners = (torch.cat(column) for column in zip(*self._entries, strict=True))
        order = places.argsort(stable=True)
        order = order[losses[order].argsort(stable=True)]
        order = order[clusters[order].argsort(stable=True)]
        sizes = clusters.bincount(minlength=len(self.widths))
        rank = torch.arange(len(order), device=order.device) - (sizes.cumsum(0) - sizes)[clusters[order]]
        order = order[rank < self.widths[clusters[order]]]
        kept = clusters[order], losses[order], places[order], owners[order]
        self._entries, self._waiting = [kept], 0
        sizes = kept[0].bincount(minlength=len(self.widths))
        full = (sizes >= self.widths) & (sizes > 0)
        self._limits[full] = kept[1][sizes.cumsum(0)[full] - 1]
        return kept

    def rows(self) -> tuple[Tensor, Tensor]:
        """Places of the listed rows, ascending, each once, and their own clusters, both (S,) int64."""
        _, _, places, owners = self.entries()
        order = places.argsort(stable=True)
        places, owners = places[order], owners[order]
        first = torch.ones_like(places, dtype=torch.bool)
        first[1:] = places[1:] != places[:-1]
        return places[first], owners[first]


def list_rows(
    counts: Sequence[Tensor], min_sizes: Sequence[int], fill: Callable[[list[Shortlist]], None]
) -> list[tuple[Tensor, Tensor]]:
    """Each head's listed rows, as `Shortlist.rows` gives them: enough of them for every minimum, none where nothing lacks.

    Args:
        counts: (K,) sizes of each head.
        min_sizes: least rows of a cluster of each head; K times as many rows must exist.
        fill: enters the whole table into an empty shortlist of each head; called again for lists that proved too short.
    """
    factor = 1
    while True:
        lists = [Shortlist(widths(sizes, least, factor)) for sizes, least in zip(counts, min_sizes, strict=True)]
        fill(lists)
        listed = [each.rows() for each in lists]
        if all(suffices(sizes, owners, least) for sizes, (_, owners), least in zip(counts, listed, min_sizes, strict=True)):
            return listed
        factor *= 4


def outside_minimum(counts: Tensor, owners: Tensor, min_size: int) -> Tensor:
    """Least rows (K,) of the listed ones that each cluster must get, given all sizes (K,) and the listed rows' clusters."""
    return (min_size - (counts - owners.bincount(minlength=len(counts)))).clamp(min=0)


def suffices(counts: Tensor, owners: Tensor, min_size: int) -> bool:
    """Whether the listed rows are enough to give every cluster its minimum."""
    return int(outside_minimum(counts, owners, min_size).sum()) <= len(owners)


def repair_listed(vectors: Tensor, owners: Tensor, centers: Tensor, prices: Tensor, counts: Tensor, min_size: int) -> Tensor:
    """Labels (S,) of the listed rows under which every cluster has its minimum, the best ones while the other rows stay.

    Args:
        vectors: (S, D) the listed rows.
        owners: (S,) their clusters so far.
        centers: (K, D).
        prices: (K,) of the labels so far.
        counts: (K,) sizes of all rows' clusters.
        min_size: least rows of a cluster.

    Raises:
        ValueError: where the list is too short to reach every minimum, see `suffices`.
    """

    def similarities(rows: Tensor, clusters: Tensor) -> Tensor:
        return vectors[rows].double() @ centers[clusters].double().T

    return optimal_flow(similarities, len(vectors), prices, outside_minimum(counts, owners, min_size))[0].labels()


def bound_over_all(total: float, counts: Tensor, prices: Tensor, min_size: int) -> float:
    """Total similarity that no labels with these minimum sizes exceed, from the total of the argmax under any prices (K,).

    `counts` (K,) are that argmax's sizes. The bound is sum_i max_k (s_ik + p_k) - min_size * sum_k p_k for p >= 0; taking the
    least price off all tightens it.
    """
    prices = prices.double() - prices.double().min()
    return total + float(prices @ counts.double()) - min_size * float(prices.sum())
