"""Arcs between clusters along listed entries, kept as rows move: the loss of each does not depend on prices.

A row of one cluster that has another on its list is an arc between the two; what it costs is what the row loses there, plus the
price of the one, less that of the other. Arcs are kept by pairs of clusters, so that a round looks at the cheapest of each pair,
and only the arcs of rows that moved are made anew.

Shapes: n rows, K clusters, A arcs, P pairs of clusters that have one.
"""

from __future__ import annotations

import numpy as np

from algos.exact.entries import Entries, Indices, Numbers


class PairArcs:
    """Arcs along entries (A,) of rows that have a label each.

    Attributes:
        sources: (P,) first cluster of each pair, ascending.
        targets: (P,) second cluster, ascending within one source.
        losses: (P,) least loss of a row that goes from the first to the second.

    Args:
        entries: rows and clusters that they may get.
        labels: (n,) of all rows.
        own: (n,) similarities of the labels.
    """

    def __init__(self, entries: Entries, labels: Indices, own: Numbers) -> None:
        self._all = entries
        self._nodes = int(max(labels.max(initial=0), entries.clusters.max(initial=0))) + 1
        none = np.empty(0, np.int64)
        self._keys, self._places, self._losses = none, none, np.empty(0)
        self._add(np.arange(len(entries.rows)), labels, own)

    def follow(self, moved: Indices, labels: Indices, own: Numbers) -> None:
        """Take up that some rows have other labels now."""
        of_moved = np.zeros(len(labels), dtype=bool)
        of_moved[moved] = True
        kept = ~of_moved[self._all.rows[self._places]]
        self._keys, self._places, self._losses = self._keys[kept], self._places[kept], self._losses[kept]
        self._add(np.flatnonzero(of_moved[self._all.rows]), labels, own)

    def costs(self, prices: Numbers) -> Numbers:
        """Of the cheapest arc of each pair (P,), not below zero."""
        found: Numbers = (self.losses + prices[self.sources] - prices[self.targets]).clip(min=0.0)
        return found

    def below(self, cost: float, prices: Numbers) -> Indices:
        """Places, among the entries, of all arcs that cost no more."""
        pairs = np.flatnonzero(self.costs(prices) <= cost)
        counts = np.diff(self._first)[pairs]
        arcs = np.arange(counts.sum()) + np.repeat(self._first[pairs] - (counts.cumsum() - counts), counts)
        limits = cost - (prices[self.sources[pairs]] - prices[self.targets[pairs]])
        found: Indices = self._places[arcs[self._losses[arcs] <= np.repeat(limits, counts)]]
        return found

    def _add(self, places: Indices, labels: Indices, own: Numbers) -> None:
        """Arcs of entries that have none, and the pairs anew."""
        places = places[labels[self._all.rows[places]] != self._all.clusters[places]]
        new = self._all.of(places)
        keys = labels[new.rows] * self._nodes + new.clusters
        order = keys.astype(np.min_scalar_type(self._nodes**2)).argsort(kind="stable")  # by radix where 16 bits hold them
        keys, places, losses = keys[order], places[order], (own[new.rows] - new.values)[order]
        to = self._keys.searchsorted(keys)
        self._keys, self._places = np.insert(self._keys, to, keys), np.insert(self._places, to, places)
        self._losses = np.insert(self._losses, to, losses)
        starts = np.append(True, self._keys[1:] != self._keys[:-1])[: len(self._keys)].nonzero()[0]
        self._first = np.append(starts, len(self._keys))
        self.sources, self.targets = np.divmod(self._keys[starts], self._nodes)
        self.losses = np.minimum.reduceat(self._losses, starts) if len(starts) else np.empty(0)
