"""`quorum cluster --exact` on two levels: rows move between parents until these keep their bounds, then inside each parent.

A parent is to the rows of its clusters what a head is to all rows; no row is compared with the clusters of another parent than
its own. Bounds of parents are such that their clusters' bounds can be kept (see `algos.kmeans.level_bounds`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.exact.shortlist import bound_over_all
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.level_bounds import parent_bounds
from algos.kmeans.nested_kmeans import NestedConstrainedKMeans
from pipelines.clustering.label_files import LabelledFolder
from pipelines.clustering.levels.frozen_parents import FrozenParents
from pipelines.clustering.repair import (
    BoundedSizes,
    HeadRepair,
    Repaired,
    best_labels,
    fetch,
    listed_rows,
    write_moves,
)  # fmt: skip
from pipelines.clustering.repair_tasks import Compared


@dataclass(frozen=True)
class RepairedLevels(Repaired):
    """Labels that keep the bounds of both levels.

    Attributes:
        parents_moved: rows that changed their parent, which `moved` counts too.
    """

    parents_moved: int


class WithParents:
    """Compares every row with all parents, of which its own is that of its cluster; see `RowLister`.

    Args:
        parent_of: (K,) parent of each cluster.
    """

    def __init__(self, parent_of: np.ndarray) -> None:
        self.parent_of = torch.from_numpy(parent_of)

    def __call__(self, kmeans: OnlineConstrainedKMeans, rows: Tensor, labels: Tensor) -> Iterator[Compared]:
        """Of rows (b, D) with labels (1, b), under the parents."""
        every = torch.arange(len(rows), device=rows.device)
        yield Compared(0, every, kmeans.priced(rows), self.parent_of.to(rows.device)[labels[0]])


class WithSiblings:
    """Compares rows of some parents with the clusters of their own parent; see `RowLister`.

    Args:
        wanted: (M,) bool, parents whose rows are compared.
    """

    def __init__(self, wanted: Tensor) -> None:
        self.wanted = wanted

    def __call__(self, kmeans: OnlineConstrainedKMeans, rows: Tensor, labels: Tensor) -> Iterator[Compared]:
        """Of rows (b, D) with labels (1, b), under clusters on two levels."""
        assert isinstance(kmeans, NestedConstrainedKMeans)
        parents = kmeans.parent_of[labels[0]]
        chosen = self.wanted.to(rows.device)[parents].nonzero()[:, 0]
        for found, priced, clusters in kmeans.priced_within(rows[chosen], parents[chosen]):
            mine = chosen[found]
            yield Compared(0, mine, priced, labels[0, mine], clusters)


class SizeRatios(NamedTuple):
    """Least and greatest size of a cluster and of a parent, as shares of the mean sizes; `None` for no greatest."""

    least: float
    most: float | None


def repair_levels(labelled: LabelledFolder, ratios: SizeRatios, *, gpu: bool) -> RepairedLevels:
    """Change the files of labels so that every parent and every cluster keeps its bounds."""
    parents, before = labelled.model.parents, float(labelled.sums.sum())
    assert parents is not None
    labelled, between = _repair_parents(labelled, parents, ratios, gpu=gpu)
    labelled, within, gap = _repair_children(labelled, parents, ratios, gpu=gpu)
    moved, cost = len(np.union1d(between, within)), before - float(labelled.sums.sum())
    return RepairedLevels(labelled, [moved], [cost], [gap], len(between))


def _repair_parents(
    labelled: LabelledFolder, parents: FrozenParents, ratios: SizeRatios, *, gpu: bool
) -> tuple[LabelledFolder, np.ndarray]:
    """Bring parents into their bounds; a row that moves gets the best cluster of its new parent. Also places that moved."""
    model, above, form = labelled.model, labelled.model.above(), labelled.vectors.form
    bounds = parent_bounds(torch.from_numpy(parents.children), labelled.vectors.rows, *ratios)
    sizes = BoundedSizes(torch.from_numpy(parents.rows(labelled.counts)), *bounds)
    if not bool(sizes.broken.any()):
        return labelled, np.empty(0, np.int64)
    ((places, owners),) = listed_rows(labelled, above, [sizes], gpu=gpu, compare=WithParents(parents.parent_of))
    rows = fetch(labelled, places)
    centers, prices = (torch.from_numpy(each.copy()) for each in (above.centers, above.prices))
    chosen = best_labels(rows.vectors, owners, centers, prices, sizes, model.metric)
    kmeans, changed, labels = model.kmeans("cpu"), chosen != owners, rows.labels[:, 0].clone()
    assert isinstance(kmeans, NestedConstrainedKMeans)
    labels[changed] = kmeans.assign_within(rows.vectors[changed], chosen[changed])
    repair = HeadRepair.between(rows, rows.labels[:, 0], labels, kmeans.centers, form)
    return write_moves(labelled, [repair]), repair.moves.places


def _repair_children(
    labelled: LabelledFolder, parents: FrozenParents, ratios: SizeRatios, *, gpu: bool
) -> tuple[LabelledFolder, np.ndarray, float]:
    """Bring clusters into their bounds, inside each parent; also places that moved, and what could be gained at most."""
    model, rows, clusters = labelled.model, labelled.vectors.rows, len(labelled.counts)
    most = None if ratios.most is None else maximum_rows(ratios.most, rows, clusters)
    sizes = BoundedSizes(torch.from_numpy(labelled.counts.copy()), minimum_rows(ratios.least, rows, clusters), most)
    prices, parent_of = torch.from_numpy(model.prices.copy()), torch.from_numpy(parents.parent_of)
    families = [slice(first, first + count) for first, count in zip(parents.first_child, parents.children, strict=True)]
    bounds = [
        bound_over_all(float(labelled.sums[mine].sum()), sizes.sizes[mine], prices[mine], sizes.least, most) for mine in families
    ]
    moved = np.empty(0, np.int64)
    if bool(sizes.broken.any()):
        wanted = torch.zeros(len(families), dtype=torch.bool)
        wanted[parent_of[sizes.broken]] = True
        ((places, owners),) = listed_rows(labelled, model, [sizes], gpu=gpu, compare=WithSiblings(wanted), groups=parent_of)
        found, centers, labels = fetch(labelled, places), torch.from_numpy(model.centers.copy()), owners.clone()
        order = parent_of[owners].argsort(stable=True)
        for mine in order.split(parent_of[owners].bincount(minlength=len(families)).tolist()):
            if len(mine):
                family = families[int(parent_of[owners[mine[0]]])]
                inside = sizes._replace(sizes=sizes.sizes[family])
                local = owners[mine] - family.start
                best = best_labels(found.vectors[mine], local, centers[family], prices[family], inside, model.metric)
                labels[mine] = best + family.start
        repair = HeadRepair.between(found, owners, labels, centers, labelled.vectors.form)
        labelled, moved = write_moves(labelled, [repair]), repair.moves.places
    reached = (float(labelled.sums[mine].sum()) for mine in families)
    return labelled, moved, sum(max(bound - mine, 0.0) for bound, mine in zip(bounds, reached, strict=True))
