"""Which clusters of one run became which of another, head by head, or why that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from algos.cluster_overlap import ClusterOverlap, match_clusters
from pipelines.errors import UserError
from tune.comparison.csv_files import write_csv
from tune.comparison.two_runs.run_clusters import RunClusters


@dataclass(frozen=True)
class MatchedHead:
    """One head of both runs.

    Attributes:
        number: of the head, the same in both.
        ids: (M,) rows that have a cluster in both.
        labels: (M,) clusters of these rows in the one run and in the other.
        overlap: which clusters belong together.
    """

    number: int
    ids: np.ndarray
    labels: tuple[np.ndarray, np.ndarray]
    overlap: ClusterOverlap

    def members(self, pair: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of a matched pair, by its place among them: in the first run's cluster alone, in both, in the second's alone."""
        first, second = (labels == cluster for labels, cluster in zip(self.labels, self.overlap.pairs[pair], strict=True))
        return self.ids[first & ~second], self.ids[first & second], self.ids[second & ~first]

    def sentence(self, names: Sequence[str]) -> str:
        """How well the clusters agree, and how many have no partner."""
        found, (one, other) = self.overlap, names
        counts = [len(sizes) for sizes in (found.first_sizes, found.second_sizes)]
        return (
            f"head {self.number}: of {counts[0]} clusters of {one} and {counts[1]} of {other}, {len(found.pairs)} pairs share "
            f"{found.shared_share:.1%} of {found.rows:,} rows; purity of {one} in {other} {found.first_purity:.3f}, of {other} "
            f"in {one} {found.second_purity:.3f}; without a partner: {self._alone(0)} of {one}, {self._alone(1)} of {other}"
        )

    def _alone(self, side: int) -> str:
        alone = self.overlap.unmatched(side)
        empty = int(((self.overlap.first_sizes, self.overlap.second_sizes)[side][alone] == 0).sum())
        return f"{len(alone)} ({empty} without rows)" if empty else str(len(alone))

    def rows(self) -> list[list[Any]]:
        """A row a pair, those that share the most first, then the clusters without a partner; columns as `write_matches` has."""
        found, made = self.overlap, list[list[Any]]()
        for (first, second), shared in zip(found.pairs.tolist(), found.shared.tolist(), strict=True):
            sizes = int(found.first_sizes[first]), int(found.second_sizes[second])
            shares = [shared / size for size in sizes]
            made.append([self.number, first, second, shared, *sizes, *shares, shared / (sum(sizes) - shared)])
        made += [[self.number, k, None, 0, int(found.first_sizes[k]), *[None] * 4] for k in found.unmatched(0).tolist()]
        made += [[self.number, None, k, 0, None, int(found.second_sizes[k]), *[None] * 3] for k in found.unmatched(1).tolist()]
        return made


def matching_columns(names: Sequence[str]) -> list[str]:
    """Of `MatchedHead.rows`."""
    one, other = names
    sides = [f"cluster of {one}", f"cluster of {other}", "shared rows", f"rows of {one}", f"rows of {other}"]
    return ["head", *sides, f"share of {one}", f"share of {other}", "shared / union"]


def match_heads(first: RunClusters, second: RunClusters, names: Sequence[str]) -> tuple[list[MatchedHead], list[str]]:
    """The heads of both runs by their numbers, and sentences: how each agrees, and what was left out.

    Raises:
        UserError: where the runs have no rows in common.
    """
    if not (first.has_rows_of(second) or second.has_rows_of(first)):
        raise UserError(_why_not(first, second, names))
    common = min(first.labels.shape[1], second.labels.shape[1])
    matched, said = list[MatchedHead](), _left_out(first, second, names, common)
    for number in range(min(len(first.heads), len(second.heads))):
        pair = first.labels[number, :common], second.labels[number, :common]
        ids = np.flatnonzero((pair[0] >= 0) & (pair[1] >= 0))
        if len(ids) and (missing := common - len(ids)):
            said.append(f"head {number}: {missing:,} of {common:,} rows have no cluster in one of the runs and are left out")
        labels = (pair[0][ids], pair[1][ids])
        try:
            overlap = match_clusters(*labels, (first.heads[number], second.heads[number]))
        except ValueError as error:  # too many clusters, or no row has one in both
            said.append(f"head {number} is not matched: {error if len(ids) else 'no row has a cluster in both runs'}")
            continue
        matched.append(MatchedHead(number, ids, labels, overlap))
        said.append(matched[-1].sentence(names))
    return matched, said


def write_matches(heads: Sequence[MatchedHead], names: Sequence[str], path: Path) -> None:
    """Write the pairs and the clusters without a partner of all heads as CSV."""
    write_csv(path, [matching_columns(names), *(row for head in heads for row in head.rows())])


def _why_not(first: RunClusters, second: RunClusters, names: Sequence[str]) -> str:
    (one, other), kinds = names, [("split " + repr(each.split)) if each.split else "vectors" for each in (first, second)]
    if kinds[0] != kinds[1]:
        return f"{one} clusters {kinds[0]} and {other} clusters {kinds[1]}, which have no rows in common"
    return f"{one} has data of fingerprint {first.data} and {other} of {second.data}, so that row numbers are of other rows"


def _left_out(first: RunClusters, second: RunClusters, names: Sequence[str], common: int) -> list[str]:
    """What of the heads and rows of one run has nothing to be compared with."""
    said = []
    for mine, theirs, name in ((first, second, names[0]), (second, first, names[1])):
        if alone := [str(number) for number in range(len(theirs.heads), len(mine.heads))]:
            said.append(f"no counterpart of {'heads' if len(alone) > 1 else 'head'} {', '.join(alone)} of {name}")
        if mine.rows > theirs.rows:
            said.append(f"{name} has {mine.rows - theirs.rows:,} rows that were not there for the other run, and are left out")
    if (both := min(first.rows, second.rows)) > common:
        said.append(f"clusters are compared by the first {common:,} of {both:,} rows")
    return said
