"""Bounds on sizes for tables that no memory holds: a repair that looks at the rows that are cheapest to move, and at no others.

For each cluster the rows of other clusters that lose least by joining it are listed, and its own rows that lose least by leaving
it for one with room, in one pass over the table; the exact repair of `algos.exact.repair_sizes` runs on those alone, while all
other rows stay where they are. Its labels keep every bound. How far they are from the best ones is bounded over the whole table
by the prices that the rows were labelled under (weak duality).

Shapes: B rows of a batch, K clusters, S listed rows, D embedding size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from algos.exact.repair_sizes import optimal_flow
from algos.exact.signed_prices import SizeBounds
from algos.exact.similarities import in_less_precision

SPARE = 16  # rows listed for a cluster beyond four times what it lacks, so that moves may go by way of clusters within bounds
BUFFER = 1 << 18  # entries that may wait to be sorted, or as many as are listed


def widths(
    counts: Tensor, min_size: int | Tensor, max_size: int | Tensor | None = None, factor: int = 1, groups: Tensor | None = None
) -> Tensor:
    """Rows to list for each cluster of these sizes, int64; `factor` widens lists that were too short.

    Args:
        counts: (K,) sizes.
        min_size: least rows of a cluster, one number for all or (K,).
        max_size: most rows likewise, or `None`.
        factor: of the widths.
        groups: (K,) which clusters may exchange rows, those of one number; all where it is `None`.

    Returns:
        (K,) of rows that would join; with a maximum that a cluster exceeds (2 K,), of rows that would leave besides.
    """
    lacking = (min_size - counts).clamp(min=0)
    over = torch.zeros_like(counts) if max_size is None else (counts - max_size).clamp(min=0)
    spare = sums_of_groups(lacking + over, groups).clamp(max=SPARE)
    both = (lacking, over) if bool(over.any()) else (lacking,)
    return factor * torch.cat([4 * each + spare for each in both])


def sums_of_groups(values: Tensor, groups: Tensor | None, of: Tensor | None = None) -> Tensor:
    """For each cluster the sum of the values in its group; () where all are one.

    Args:
        values: (K,), or one for each of `of`.
        groups: (K,) of the clusters; `None` where all are one group.
        of: clusters that the values belong to, in place of 0 to K - 1.
    """
    if groups is None:
        return values.sum()
    sums = values.new_zeros(int(groups.max()) + 1)
    return sums.index_add_(0, groups if of is None else groups[of], values)[groups]


class Shortlist:
    """For each cluster the rows of others that lose least by joining it, the lowest places first among equal losses.

    With `room` also, as if they were clusters K to 2 K - 1, its own rows that lose least by leaving it for one with room. Lists
    of the parts of a table, merged, are the list of the table, whatever the parts. An entry is a row and a cluster.

    Args:
        widths: (K,) int64 most entries of each cluster, or (2 K,) with `room`.
        room: (K,) bool, clusters that may get rows from those with too many.
    """

    def __init__(self, widths: Tensor, room: Tensor | None = None) -> None:
        self.widths, self.room = widths, room
        none = widths.new_empty(0)
        self._entries = [(none, torch.empty(0, device=widths.device), none, none)]
        self._waiting = 0
        self._limits = torch.where(widths > 0, torch.inf, -torch.inf)  # loss that an entry must stay below

    def add(self, priced: Tensor, labels: Tensor, places: Tensor, clusters: Tensor | None = None) -> None:
        """List rows by their priced similarities (B, K) and labels (B,).

        Their places (B,) are above those added before for any cluster. Rows that may join some clusters only have similarities to
        these, (B, C): `clusters` are their numbers, each row's in a run that begins with the first and has its label in it.
        """
        own = labels[:, None] if clusters is None else labels[:, None] - clusters[:, :1]
        losses = priced.gather(1, own) - priced
        losses.scatter_(1, own, torch.inf)
        limits = self._limits[: losses.shape[1]] if clusters is None else self._limits[clusters]
        rows, columns = (losses < limits).nonzero(as_tuple=True)
        joined = columns if clusters is None else clusters[rows, columns]
        self.merge(joined, losses[rows, columns], places[rows], labels[rows])
        if self.room is not None:
            room = self.room if clusters is None else self.room[clusters]
            lost = losses.masked_fill_(~room, torch.inf).amin(dim=1)
            leaving = labels + len(self.room)
            rows = (lost < self._limits[leaving]).nonzero()[:, 0]
            self.merge(leaving[rows], lost[rows], places[rows], labels[rows])

    def merge(self, clusters: Tensor, losses: Tensor, places: Tensor, owners: Tensor) -> None:
        """Take up entries of another list, each (E,)."""
        self._entries.append((clusters, losses, places, owners))
        self._waiting += len(clusters)
        if self._waiting > max(BUFFER, len(self._entries[0][0])):
            self.entries()

    @property
    def limits(self) -> Tensor:
        """Losses, (K,) or (2 K,) float32, that entries of another list must stay below to be taken up by this one.

        An entry that loses as much as the last one listed may come before it by its place, so that limits lie just above.
        Few entries that wait do not lower them: to sort long lists after each would take most of the time.
        """
        if self._waiting > len(self._entries[0][0]) // 4:
            self.entries()
        return torch.nextafter(self._limits, self._limits.new_tensor(torch.inf))

    def stay_below(self, limits: Tensor) -> None:
        """List nothing more that a list of these limits, which this one will be merged into, would not take up."""
        self._limits = self._limits.minimum(limits)

    def entries(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The list, by cluster and loss, each (E,).

        Returns:
            The clusters, K more where a row would leave, what each row's priced similarity is less there than in its own
            cluster, the rows' places, and their own clusters.
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
        self._limits[full] = self._limits[full].minimum(kept[1][sizes.cumsum(0)[full] - 1])
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
    counts: Sequence[Tensor],
    min_sizes: Sequence[int | Tensor],
    max_sizes: Sequence[int | Tensor | None],
    fill: Callable[[list[Shortlist]], None],
    groups: Tensor | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Each head's listed rows, as `Shortlist.rows` gives them: enough of them for every bound, none where all are kept.

    Args:
        counts: (K,) sizes of each head.
        min_sizes: least rows of a cluster of each head, or of each cluster (K,); together no more than there are.
        max_sizes: most rows, or `None`; together no fewer than there are.
        fill: enters the whole table into an empty shortlist of each head; called again for lists that proved too short.
        groups: (K,) which clusters of a head may exchange rows; the bounds of each group must be as those of all are.
    """
    heads, factor = list(zip(counts, min_sizes, max_sizes, strict=True)), 1
    while True:
        lists = [empty_list(*head, factor=factor, groups=groups) for head in heads]
        fill(lists)
        listed = [each.rows() for each in lists]
        if all(suffices(n, owners, least, most, groups) for (n, least, most), (_, owners) in zip(heads, listed, strict=True)):
            return listed
        factor *= 4


def empty_list(
    counts: Tensor, min_size: int | Tensor, max_size: int | Tensor | None, factor: int = 1, groups: Tensor | None = None
) -> Shortlist:
    """A shortlist as wide as clusters of these sizes (K,) need; arguments as of `widths`."""
    wanted = widths(counts, min_size, max_size, factor, groups)
    return Shortlist(wanted, None if max_size is None or len(wanted) == len(counts) else counts < max_size)


def outside_minimum(counts: Tensor, owners: Tensor, min_size: int | Tensor) -> Tensor:
    """Least rows (K,) of the listed ones that each cluster must get, given all sizes (K,) and the listed rows' clusters."""
    return (min_size - (counts - owners.bincount(minlength=len(counts)))).clamp(min=0)


def outside_maximum(counts: Tensor, owners: Tensor, max_size: int | Tensor) -> Tensor:
    """Most rows (K,) of the listed ones that each cluster may get; below zero where others alone are too many."""
    return max_size - (counts - owners.bincount(minlength=len(counts)))


def suffices(
    counts: Tensor,
    owners: Tensor,
    min_size: int | Tensor,
    max_size: int | Tensor | None = None,
    groups: Tensor | None = None,
) -> bool:
    """Whether the listed rows are enough for every cluster to keep its bounds; arguments as of `list_rows`."""
    fits = max_size is None or int(outside_maximum(counts, owners, max_size).min()) >= 0
    wanted = sums_of_groups(outside_minimum(counts, owners, min_size), groups)
    return fits and bool((wanted <= sums_of_groups(torch.ones_like(owners), groups, owners)).all())


def repair_listed(
    vectors: Tensor,
    owners: Tensor,
    centers: Tensor,
    prices: Tensor,
    counts: Tensor,
    min_size: int | Tensor,
    max_size: int | Tensor | None = None,
) -> Tensor:
    """Labels (S,) of the listed rows under which every cluster keeps its bounds, the best ones while the other rows stay.

    Args:
        vectors: (S, D) the listed rows.
        owners: (S,) their clusters so far.
        centers: (K, D).
        prices: (K,) of the labels so far.
        counts: (K,) sizes of all rows' clusters.
        min_size: least rows of a cluster, one number for all or (K,).
        max_size: most rows likewise, or `None`.

    Raises:
        ValueError: where the list is too short to keep every bound, see `suffices`.
    """

    def similarities(rows: Tensor, clusters: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
        return vectors[rows].to(dtype) @ centers[clusters].to(dtype).T

    most = None if max_size is None else outside_maximum(counts, owners, max_size)
    bounds = SizeBounds.of(outside_minimum(counts, owners, min_size), most, len(counts))
    rough = in_less_precision(similarities, vectors.dtype)
    return torch.from_numpy(optimal_flow(similarities, len(vectors), prices, bounds, rough)[0].labels)


def bound_over_all(
    total: float, counts: Tensor, prices: Tensor, min_size: int | Tensor, max_size: int | Tensor | None = None
) -> float:
    """Total similarity that no labels with these bounds exceed, from the total of the argmax under any prices (K,).

    `counts` (K,) are that argmax's sizes. The bound is sum_i max_k (s_ik + p_k) - sum_k (p_k^+ min_size - p_k^- max_size), for
    prices with the constant added that makes it tightest.
    """
    bounds = SizeBounds.of(min_size, max_size, len(prices))
    prices = bounds.shifted(prices.double(), int(counts.sum()))
    return total + float(prices @ counts.double()) - bounds.value(prices)
