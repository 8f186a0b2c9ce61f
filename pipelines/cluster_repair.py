"""`quorum cluster --exact`: after the labels are written, the rows that are cheapest to move give every cluster its minimum.

One pass over the vectors lists them (see `algos.shortlist`), the driver solves for their labels, and the files that hold a row
that moves are written anew.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import ray
import torch
from torch import Tensor

from algos.shortlist import Shortlist, bound_over_all, repair_listed, suffices, widths
from pipelines.cluster_labels import Labelled, Part, over_parts
from pipelines.progress import progress
from pipelines.repair_tasks import LabelMover, Moves, RowFetcher, RowLister, within


@dataclass(frozen=True)
class Repaired:
    """Labels that keep the minimum of every cluster.

    Attributes:
        labelled: what they come to.
        moved: rows that changed their cluster, of each head.
        gap: total similarity, of each head, that labels with these minimum sizes could gain at most.
    """

    labelled: Labelled
    moved: list[int]
    gap: list[float]

    def figures(self) -> list[dict[str, float]]:
        """Of each head, for its report: rows moved, and the gap in mean similarity."""
        rows = self.labelled.vectors.rows
        return [{"moved": moved, "optimality_gap": gap / rows} for moved, gap in zip(self.moved, self.gap, strict=True)]


def repair_labels(labelled: Labelled, minimums: list[int], *, gpu: bool) -> Repaired:
    """Change the files of labels so that every cluster of head h has at least `minimums[h]` rows; K times as many must exist."""
    model = labelled.model
    sizes, prices = (
        [torch.from_numpy(mine.copy()) for mine in model.per_head(values)] for values in (labelled.counts, model.prices)
    )
    totals = [float(mine.sum()) for mine in model.per_head(labelled.sums)]
    bounds = [bound_over_all(*mine) for mine in zip(totals, sizes, prices, minimums, strict=True)]
    moved = [0] * len(minimums)
    if any(int(n.min()) < least for n, least in zip(sizes, minimums, strict=True)):
        moves = _solve(labelled, _list_rows(labelled, sizes, minimums, gpu=gpu), sizes, minimums)
        moved = [len(mine.places) for mine in moves]
        labelled = _write(labelled, moves)
    reached = [float(mine.sum()) for mine in model.per_head(labelled.sums)]
    gap = [max(bound - mine, 0.0) for bound, mine in zip(bounds, reached, strict=True)]
    return Repaired(labelled, moved, gap)


def _list_rows(labelled: Labelled, sizes: list[Tensor], minimums: list[int], *, gpu: bool) -> list[tuple[Tensor, Tensor]]:
    """Places (S,) of each head's listed rows and their clusters so far: enough rows for every minimum."""
    files, model, factor = labelled.parts, ray.put(labelled.model), 1
    while True:
        wanted = [
            widths(mine, least, factor) if int(mine.min()) < least else torch.zeros_like(mine)
            for mine, least in zip(sizes, minimums, strict=True)
        ]
        lists = [Shortlist(mine) for mine in wanted]
        lister = RowLister(labelled.vectors, files, model, labelled.folder, wanted, gpu=gpu)
        with progress("list", len(files), "files") as bar:
            for batch in over_parts(len(files), lister, gpu=gpu):
                for head, each in enumerate(lists):
                    mine = batch["head"] == head
                    each.merge(*(torch.from_numpy(batch[name][mine]) for name in ("cluster", "loss", "place", "owner")))
                bar.advance(1)
        listed = [each.rows() for each in lists]
        if all(suffices(mine, owners, least) for mine, (_, owners), least in zip(sizes, listed, minimums, strict=True)):
            return listed
        factor *= 2


def _solve(labelled: Labelled, listed: list[tuple[Tensor, Tensor]], sizes: list[Tensor], minimums: list[int]) -> list[Moves]:
    """The best moves of each head among its listed rows."""
    model = labelled.model
    together = torch.cat([places for places, _ in listed]).unique()
    rows = _fetch(labelled, together.numpy())
    moves = []
    for head, (places, owners) in enumerate(listed):
        centers, prices = (torch.from_numpy(model.per_head(each)[head].copy()) for each in (model.centers, model.prices))
        mine = rows[torch.searchsorted(together, places)]
        labels = owners
        if len(mine):
            labels = repair_listed(mine, owners, centers, prices, sizes[head], minimums[head]).labels
        changed = labels != owners
        similarity = (mine[changed] * centers[labels[changed]]).sum(dim=1)
        moves.append(Moves(places[changed].numpy(), labels[changed].numpy(), similarity.numpy()))
    return moves


def _fetch(labelled: Labelled, places: np.ndarray) -> Tensor:
    """Rows (S, D) in ascending places (S,)."""
    rows = torch.empty(len(places), labelled.vectors.dim)
    files = _holding(labelled.parts, [places])
    for batch in over_parts(len(files), RowFetcher(labelled.vectors, files, places)):
        rows[torch.from_numpy(np.searchsorted(places, batch["place"]))] = torch.from_numpy(batch["vector"].copy())
    return rows


def _write(labelled: Labelled, moves: list[Moves]) -> Labelled:
    """Change the files."""
    counts, sums = labelled.counts.copy(), labelled.sums.copy()
    files = _holding(labelled.parts, [mine.places for mine in moves])
    for batch in over_parts(len(files), LabelMover(files, moves, labelled.model.heads, labelled.folder)):
        counts += batch["counts"].sum(axis=0)
        sums += batch["similarity"].sum(axis=0)
    return replace(labelled, counts=counts, sums=sums)


def _holding(files: list[Part], places: list[np.ndarray]) -> list[Part]:
    """The files that hold one of the places."""
    hits = [[within(mine, file.start, file.rows) for mine in places] for file in files]
    return [file for file, mine in zip(files, hits, strict=True) if any(hit.stop > hit.start for hit in mine)]
