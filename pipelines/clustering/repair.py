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
from algos.kmeans.metric import Metric
from algos.kmeans.step_arithmetic import closeness
from pipelines.clustering.label_files import FrozenClusters, LabelFile, LabelledFolder
from pipelines.clustering.repair_tasks import ENTRY, Compare, LabelMover, Moves, RowFetcher, RowLister, with_all, within
from pipelines.datasets.vector_column import RowForm
from pipelines.progress import progress
from pipelines.stream.parts import over_parts


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
    heads = [BoundedSizes(*mine) for mine in zip(sizes, minimums, maximums, strict=True)]
    if any(bool(head.broken.any()) for head in heads):
        repairs = _solve(labelled, listed_rows(labelled, model, heads, gpu=gpu), heads)
        moved = [len(each.moves.places) for each in repairs]
        labelled = write_moves(labelled, repairs)
    reached = [float(mine.sum()) for mine in model.per_head(labelled.sums)]
    gap = [max(bound - mine, 0.0) for bound, mine in zip(bounds, reached, strict=True)]
    cost = [before - mine for before, mine in zip(totals, reached, strict=True)]
    return Repaired(labelled, moved, cost, gap)


class BoundedSizes(NamedTuple):
    """Sizes (K,) of a head's clusters before the repair, and the bounds that each is to keep: one number for all, or (K,)."""

    sizes: Tensor
    least: int | Tensor
    most: int | Tensor | None

    @property
    def broken(self) -> Tensor:
        """Clusters that are out of their bounds, (K,) bool."""
        below = self.sizes < self.least
        return below if self.most is None else below | (self.sizes > self.most)


def listed_rows(
    labelled: LabelledFolder,
    model: FrozenClusters,
    heads: list[BoundedSizes],
    *,
    gpu: bool,
    compare: Compare = with_all,
    groups: Tensor | None = None,
) -> list[tuple[Tensor, Tensor]]:
    """Places (S,) of each head's listed rows and their clusters so far: enough rows for every bound.

    Args:
        labelled: the rows with their labels.
        model: what they are compared with.
        heads: sizes and bounds of the clusters that they may join.
        gpu: whether rows are compared on the cluster's GPUs.
        compare: gives the similarities that count.
        groups: (K,) which clusters may exchange rows; all where it is `None`.
    """
    files, compared = labelled.files, ray.put(model)

    def fill(lists: list[Shortlist]) -> None:
        """Enter all rows into empty lists, file by file, with tasks on the whole cluster."""
        wanted = [(each.widths, each.room) for each in lists]
        lister = RowLister(labelled.vectors, files, compared, labelled.folder, wanted, gpu=gpu, compare=compare)

        def limits() -> dict[str, np.ndarray]:
            return {"limits": torch.cat([each.limits for each in lists]).numpy()}

        with progress("list", len(files), "files") as bar:
            for batch in over_parts(len(files), lister, gpu=gpu, threads=True, known=limits):
                for head, each in enumerate(lists):
                    mine = batch["head"] == head
                    each.merge(*(torch.from_numpy(batch[name][mine]) for name in ENTRY))
                bar.advance(1)

    sizes, minimums, maximums = zip(*heads, strict=True)
    return list_rows(sizes, minimums, maximums, fill, groups)


@dataclass(frozen=True)
class HeadRepair:
    """Moves of a head, and what they add to its clusters' sizes and sums of similarities, (K,) each."""

    moves: Moves
    counts: np.ndarray
    sums: np.ndarray

    @classmethod
    def between(cls, rows: ListedRows, before: Tensor, after: Tensor, centers: Tensor, form: RowForm) -> HeadRepair:
        """The repair that gives listed rows other labels than before, both (S,), under centers (K, D)."""
        changed, spherical = after != before, form.metric == "cosine"
        vectors = rows.vectors[changed]
        came, left = (_Members.of(vectors, each[changed], centers, spherical=spherical) for each in (after, before))
        moves = Moves(rows.places[changed].numpy(), came.labels, came.similarity * form.unit)
        return cls(moves, came.counts - left.counts, came.sums - left.sums)


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


def _solve(labelled: LabelledFolder, listed: list[tuple[Tensor, Tensor]], heads: list[BoundedSizes]) -> list[HeadRepair]:
    """The best moves of each head among its listed rows."""
    model = labelled.model
    together = fetch(labelled, torch.cat([places for places, _ in listed]).unique())
    repairs = []
    for head, (places, owners) in enumerate(listed):
        centers, prices = (torch.from_numpy(model.per_head(each)[head].copy()) for each in (model.centers, model.prices))
        rows = together.at(places)
        labels = best_labels(rows.vectors, owners, centers, prices, heads[head], model.metric)
        repairs.append(HeadRepair.between(rows, owners, labels, centers, labelled.vectors.form))
    return repairs


def best_labels(rows: Tensor, owners: Tensor, centers: Tensor, prices: Tensor, sizes: BoundedSizes, metric: Metric) -> Tensor:
    """Labels (S,) of listed rows (S, D), their clusters before that (S,), under which clusters (K, D) keep their bounds."""
    if not len(rows):
        return owners
    rows, centers = (rows, centers) if metric == "cosine" else _as_products(rows, centers)
    return repair_listed(rows, owners, centers, prices, *sizes)


def _as_products(rows: Tensor, centers: Tensor) -> tuple[Tensor, Tensor]:
    """Rows and centers, float64 with one number more, whose products are x . c - |c|^2 / 2."""
    rows, centers = rows.double(), centers.double()
    return F.pad(rows, (0, 1), value=1.0), torch.cat([centers, centers.square().sum(dim=1, keepdim=True) / -2], dim=1)


@dataclass(frozen=True)
class ListedRows:
    """Rows in ascending places (S,): vectors (S, D), and labels (S, H) int64 in the files."""

    places: Tensor
    vectors: Tensor
    labels: Tensor

    def at(self, places: Tensor) -> ListedRows:
        """Those in some of the places, ascending."""
        if len(places) == len(self.places):
            return self
        chosen = torch.searchsorted(self.places, places)
        return ListedRows(places, self.vectors[chosen], self.labels[chosen])


def fetch(labelled: LabelledFolder, places: Tensor) -> ListedRows:
    """The rows in ascending places (S,)."""
    heads, found = len(labelled.model.heads), places.numpy()
    vectors, labels = torch.empty(len(places), labelled.vectors.dim), torch.empty(len(places), heads, dtype=torch.int64)
    files = _holding(labelled.files, [found])
    fetcher = RowFetcher(labelled.vectors, files, found, labelled.folder, heads)
    for batch in over_parts(len(files), fetcher, threads=True):
        mine = torch.from_numpy(np.searchsorted(found, batch["place"]))
        vectors[mine], labels[mine] = (torch.from_numpy(batch[name].copy()) for name in ("vector", "label"))
    return ListedRows(places, vectors, labels)


def write_moves(labelled: LabelledFolder, repairs: list[HeadRepair]) -> LabelledFolder:
    """Change the files that hold a row that moves, one repair a head; returns what the labels come to after that."""
    moves = [each.moves for each in repairs]
    files = _holding(labelled.files, [mine.places for mine in moves])
    written, changed = list[np.ndarray](), None if labelled.changed is None else labelled.changed.copy()
    for batch in over_parts(len(files), LabelMover(files, moves, labelled.folder), threads=True):
        written.append(batch["part"])
        if changed is not None:
            changed[batch["part"]] = batch["changed"]
    if sorted(np.concatenate([*written, np.empty(0, np.int64)]).tolist()) != [file.number for file in files]:
        raise RuntimeError(f"{len(written)} files of labels were changed, {len(files)} expected, each once")
    counts, sums = (np.concatenate(each) for each in zip(*((one.counts, one.sums) for one in repairs), strict=True))
    return replace(labelled, counts=labelled.counts + counts, sums=labelled.sums + sums, changed=changed)


def _holding(files: list[LabelFile], places: list[np.ndarray]) -> list[LabelFile]:
    """The files that hold one of the places."""
    hits = [[within(mine, file.start, file.rows) for mine in places] for file in files]
    return [file for file, mine in zip(files, hits, strict=True) if any(hit.stop > hit.start for hit in mine)]
