"""Bounds on two levels: how many clusters each parent gets, and how many rows it must have so that these can keep theirs.

Clusters have the bounds of a flat clustering, shares of all rows; parents have bounds of their own by the same ratios.

Shapes: M parents, K clusters, N rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from algos.exact.row_bounds import maximum_rows, minimum_rows


def parent_bounds(
    child_counts: Tensor, num_rows: int, min_size_ratio: float, max_size_ratio: float | None
) -> tuple[Tensor, Tensor | None]:
    """Least and most rows of each parent, both (M,) int64; `None` without a maximum.

    Within them a parent keeps the ratios to N / M, and its clusters those to N / K, all in whole rows.

    Args:
        child_counts: (M,) clusters of each parent.
        num_rows: N.
        min_size_ratio: least size, as a share of the mean size.
        max_size_ratio: greatest size likewise; `None` for none.
    """
    parents, clusters = len(child_counts), int(child_counts.sum())
    own, below = (minimum_rows(min_size_ratio, num_rows, count) for count in (parents, clusters))
    least = (child_counts * below).clamp(min=own)
    if max_size_ratio is None:
        return least, None
    own, below = (maximum_rows(max_size_ratio, num_rows, count) for count in (parents, clusters))
    return least, (child_counts * below).clamp(max=own)


def can_be_kept(least: Tensor, most: Tensor | None, num_rows: int) -> bool:
    """Whether parents of these least and most rows (M,) can have N rows in all."""
    if most is not None and (bool((least > most).any()) or int(most.sum()) < num_rows):
        return False
    return int(least.sum()) <= num_rows


def share_clusters(sizes: Tensor, total: int, min_size_ratio: float, max_size_ratio: float | None) -> Tensor:
    """How many of `total` clusters each parent gets, in proportion to its size and so that the clusters' bounds can hold.

    Args:
        sizes: (M,) rows of each parent, above zero.
        total: K, at least M.
        min_size_ratio: least size of a cluster, as a share of the mean size N / K.
        max_size_ratio: greatest size likewise; `None` for none.

    Returns:
        (M,) int64, at least 1 each, with the sum K.

    Raises:
        ValueError: where no such numbers keep the bounds: ratios too near 1 for so few clusters a parent.
    """
    wanted = sizes.double() * total / sizes.sum()  # clusters of mean size that would fill the parent
    least = (wanted / (max_size_ratio or math.inf) - 1e-9).ceil().clamp(min=1)
    most = (wanted / min_size_ratio + 1e-9).floor() if min_size_ratio > 0 else torch.full_like(wanted, total)
    if bool((least > most).any()) or not int(least.sum()) <= total <= int(most.sum()):
        raise ValueError(
            f"{total} clusters cannot be shared among {len(sizes)} parents of these sizes ({int(sizes.min())} to "
            f"{int(sizes.max())} rows) so that both levels keep their bounds; lower min_size_ratio, raise max_size_ratio, or ask "
            "for more clusters"
        )
    given = wanted.floor().clamp(least, most)
    while (missing := total - int(given.sum())) != 0:  # a few rounds: each moves as many as it can by one
        step, room = (1, given < most) if missing > 0 else (-1, given > least)
        order = torch.where(room, step * (wanted - given), -torch.inf).argsort(descending=True, stable=True)
        given[order[: min(abs(missing), int(room.sum()))]] += step
    return given.to(torch.int64)


def child_counts(sizes: Tensor, total: int, num_rows: int, min_size_ratio: float, max_size_ratio: float | None) -> Tensor:
    """How many of `total` clusters each parent gets, so that bounds on both levels can be kept once rows are moved.

    In proportion to size, where a parent outside its own bounds counts as one at them. Where no such numbers would do, as at
    equal sizes, each parent gets as many: `total` must be a multiple of M.

    Args:
        sizes: (M,) rows of each parent.
        total: K.
        num_rows: N.
        min_size_ratio: least size, as a share of the mean size.
        max_size_ratio: greatest size likewise; `None` for none.

    Returns:
        (M,) int64, at least 1 each.
    """
    mean = float(sizes.sum()) / len(sizes)
    within = sizes.double().clamp(min_size_ratio * mean, None if max_size_ratio is None else max_size_ratio * mean)
    for bounds in ((min_size_ratio, max_size_ratio), (0.0, None)):
        try:
            shared = share_clusters(within, total, *bounds)
        except ValueError:
            continue
        if can_be_kept(*parent_bounds(shared, num_rows, min_size_ratio, max_size_ratio), num_rows):
            return shared
    return torch.full_like(sizes, total // len(sizes), dtype=torch.int64)
