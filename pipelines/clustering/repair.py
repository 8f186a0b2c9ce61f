"""`quorum cluster --exact`: after the labels are written, the rows that are cheapest to move bring all clusters into bounds.

One pass over the vectors lists them (see `algos.exact.shortlist`), the driver solves for their labels, and the files that hold a
row that moves are written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import ray
import torch
import torch.nn.functional as F
from torch import Tensor

from algos.exact.shortlist import Shortlist, bound_over_all, list_rows, repair_listed
from algos.kmeans.constrained_kmeans import closeness
from pipelines.clustering.label_files import LabelFile, LabelledFolder
from pipelines.clustering.repair_tasks import ENTRY, LabelMover, Moves, RowFetcher, RowLister, within
from pipelines.progress import progress
from pipelines.stream.ray_data import over_parts


@dataclass(frozen=True)
class Repaired:
    """Labels that keep the bounds of every cluster.

    Attributes:
        labelled: what they come to.
        moved: rows that changed their cluster, of each head.
        cost: total similarity, of each head and in units of rows as they are read, that the moves gave up.
        gap: the same that labels within these bounds could gain at most.
    """

    labelled: LabelledFolder
    moved: list[int]
    cost: list[float]
    gap: list[float]

    def figures(self) -> list[dict[str, float]]:
        """Of each head, for its report: rows moved, what that cost, and the gap, both in mean similarity."""
        vectors = self.labelled.vectors
        per_row = vectors.form.unit / vectors.rows
        return [
            {"moved": moved, "mean_repair_cost": cost * per_row, "mean_optimality_gap": gap * per_row}
            for moved, cost, gap in zip(self.moved, self.cost, self.gap, strict=True)
        ]


def repair_labels(labelled: LabelledFolder, minimums: list[int], maximums: list[int | None], *, gpu: bool) -> Repaired:
    """Change the files of labels so that every cluster of head h has `minimums[h]` rows at least and `maximums[h]` at most.

    K times the minimum must be no more than all rows, K times the maximum no fewer; `None` is no maximum.
    """
    model = labelled.model
    sizes, prices = (
        [torch.from_numpy(mine.copy()) for mine in model.per_head(values)] for values in (labelled.counts, model.prices)
    )
    totals = [float(mine.sum()) for mine in model.per_head(labelled.sums)]
    bounds = [bound_over_all(*mine) for mine in zip(totals, sizes, prices, minimums, maximums, strict=True)]
    moved = [0] * len(minimums)
    heads = [_Head(*mine) for mine in zip(sizes, minimums, maximums, strict=True)]
    if any(head.is_broken for head in heads):
        repairs = _solve(labelled, _list_rows(labelled, heads, gpu=gpu), heads)
        moved = [len(each.moves.places) for each in repairs]
        changed = _write(labelled, [each.moves for each in repairs])
        counts, sums = (np.concatenate(each) for each in zip(*((one.counts, one.sums) for one in repairs), strict=True))
        labelled = replace(labelled, counts=labelled.counts + counts, sums=labelled.sums + sums, changed=changed)
    reached = [float(mine.sum()) for mine in model.per_head(labelled.sums)]
    gap = [max(bound - mine, 0.0) for bound, mine in zip(bounds, reached, strict=True)]
    cost = [before - mine for before, mine in zip(totals, reached, strict=True)]
    return Repaired(labelled, moved, cost, gap)


class _Head(NamedTuple):
    """Sizes (K,) of a head's clusters before the repair, and the bounds that each is to keep."""

    sizes: Tensor
    least: int
    most: int | None

    @property
    def is_broken(self) -> bool:
        """Whether a cluster is out of its bounds."""
        return int(self.sizes.min()) < self.least or (self.most is not None and int(self.sizes.max()) > self.most)


def _list_rows(labelled: LabelledFolder, heads: list[_Head], *, gpu: bool) -> list[tuple[Tensor, Tensor]]:
    """Places (S,) of each head's listed rows and their clusters so far: enough rows for every bound."""
    files, model = labelled.files, ray.put(labelled.model)

    def fill(lists: list[Shortlist]) -> None:
        lister = RowLister(labelled.vectors, files, model, labelled.folder, [(each.widths, each.room) for each in lists], gpu=gpu)
        with progress("list", len(files), "files") as bar:
            for batch in over_parts(len(files), lister, gpu=gpu):
                for head, each in enumerate(lists):
                    mine = batch["head"] == head
                    each.merge(*(torch.from_numpy(batch[name][mine]) for name in ENTRY))
                bar.advance(1)

    sizes, minimums, maximums = zip(*heads, strict=True)
    return list_rows(sizes, minimums, maximums, fill)


@dataclass(frozen=True)
class _HeadRepair:
    """Moves of a head, and what they add to its clusters' sizes and sums of similarities, (K,) each."""

    moves: Moves
    counts: np.ndarray
    sums: np.ndarray


@dataclass(frozen=True)
class _Members:
    """Some rows as members of their clusters: labels and similarities (M,); sizes and sums of similarities (K,)."""

    labels: np.ndarray
    similarity: np.ndarray
    counts: np.ndarray
    sums: np.ndarray

    @classmethod
    def of(cls, rows: Tensor, labels: Tensor, centers: Tensor, *, spherical: bool) -> _Members:
        similarity, clusters = closeness(rows, centers[labels], spherical=spherical).numpy(), len(centers)
        counts, sums = (np.bincount(labels, weights, minlength=clusters) for weights in (None, similarity))
        return cls(labels.numpy(), similarity, counts, sums)


def _solve(labelled: LabelledFolder, listed: list[tuple[Tensor, Tensor]], heads: list[_Head]) -> list[_HeadRepair]:
    """The best moves of each head among its listed rows."""
    model, spherical = labelled.model, labelled.model.metric == "cosine"
    together = torch.cat([places for places, _ in listed]).unique()
    rows = _fetch(labelled, together.numpy())
    repairs = []
    for head, (places, owners) in enumerate(listed):
        centers, prices = (torch.from_numpy(model.per_head(each)[head].copy()) for each in (model.centers, model.prices))
        mine = rows if len(places) == len(rows) else rows[torch.searchsorted(together, places)]
        labels = owners
        if len(mine):
            as_products = (mine, centers) if spherical else _as_products(mine, centers)
            labels = repair_listed(as_products[0], owners, as_products[1], prices, *heads[head])
        changed = labels != owners
        came, left = (_Members.of(mine[changed], each[changed], centers, spherical=spherical) for each in (labels, owners))
        moves = Moves(places[changed].numpy(), came.labels, came.similarity * labelled.vectors.form.unit)
        repairs.append(_HeadRepair(moves, came.counts - left.counts, came.sums - left.sums))
    return repairs


def _as_products(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and centers, float64 with one number more, whose products are x . c - |c|^2 / 2."""
    rows, centers = rows.double(), centers.double()
    return F.pad(rows, (0, 1), value=1.0), torch.cat([centers, centers.square().sum(dim=1, keepdim=True) / -2], dim=1)


def _fetch(labelled: LabelledFolder, places: np.ndarray) -> Tensor:
    """Rows (S, D) in ascending places (S,)."""
    rows = torch.empty(len(places), labelled.vectors.dim)
    files = _holding(labelled.files, [places])
    for batch in over_parts(len(files), RowFetcher(labelled.vectors, files, places)):
        rows[torch.from_numpy(np.searchsorted(places, batch["place"]))] = torch.from_numpy(batch["vector"].copy())
    return rows


def _write(labelled: LabelledFolder, moves: list[Moves]) -> np.ndarray | None:
    """Change the files that hold a row that moves; returns `LabelledFolder.changed` after that."""
    files = _holding(labelled.files, [mine.places for mine in moves])
    written, changed = list[np.ndarray](), None if labelled.changed is None else labelled.changed.copy()
    for batch in over_parts(len(files), LabelMover(files, moves, labelled.folder)):
        written.append(batch["part"])
        if changed is not None:
            changed[batch["part"]] = batch["changed"]
    if sorted(np.concatenate(written).tolist()) != [file.number for file in files]:
        raise RuntimeError(f"{len(written)} files of labels were changed, {len(files)} expected, each once")
    return changed


def _holding(files: list[LabelFile], places: list[np.ndarray]) -> list[LabelFile]:
    """The files that hold one of the places."""
    hits = [[within(mine, file.start, file.rows) for mine in places] for file in files]
    return [file for file, mine in zip(files, hits, strict=True) if any(hit.stop > hit.start for hit in mine)]
