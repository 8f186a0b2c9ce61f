"""Arcs between clusters: the cheapest of each pair, those within a cost, and the same after moves as if made anew."""

from __future__ import annotations

import numpy as np
import pytest

from algos.exact.entries import Entries
from algos.exact.pair_arcs import PairArcs

ROWS, CLUSTERS, LISTED = 60, 7, 4


def listed(seed: int) -> tuple[Entries, np.ndarray, np.ndarray]:
    """Entries of random rows, labels among them, and the similarities of these."""
    random = np.random.default_rng(seed)
    clusters = np.stack([random.permutation(CLUSTERS)[:LISTED] for _ in range(ROWS)])
    values = random.normal(size=clusters.shape)
    entries = Entries(np.arange(ROWS).repeat(LISTED), clusters.ravel(), values.ravel())
    return entries, clusters[:, 0].copy(), values[:, 0].copy()


def all_arcs(entries: Entries, labels: np.ndarray, own: np.ndarray) -> list[tuple[int, int, float, int]]:
    """Source, target, loss and place of each entry, one after another."""
    return [
        (int(labels[row]), int(cluster), own[row] - value, place)
        for place, (row, cluster, value) in enumerate(zip(entries.rows, entries.clusters, entries.values, strict=True))
        if labels[row] != cluster
    ]


@pytest.mark.parametrize("seed", range(5))
def test_arcs_are_those_of_the_labels_also_after_rows_moved(seed):
    entries, labels, own = listed(seed)
    pairs, random = PairArcs(entries, labels, own), np.random.default_rng(seed)
    for _ in range(4):
        prices, found = random.normal(size=CLUSTERS), all_arcs(entries, labels, own)
        least: dict[tuple[int, int], float] = {}
        for source, target, loss, _ in found:
            least[source, target] = min(least.get((source, target), np.inf), loss)
        assert list(zip(pairs.sources.tolist(), pairs.targets.tolist(), strict=True)) == sorted(least)
        np.testing.assert_array_equal(pairs.losses, [least[pair] for pair in sorted(least)])
        wanted = [max(least[pair] + prices[pair[0]] - prices[pair[1]], 0.0) for pair in sorted(least)]
        np.testing.assert_allclose(pairs.costs(prices), wanted, rtol=0, atol=1e-12)
        within = [place for source, target, loss, place in found if loss + prices[source] - prices[target] <= 0.5]
        assert sorted(pairs.below(0.5, prices)) == within
        moved = random.choice(ROWS, 9, replace=False)
        places = moved * LISTED + random.integers(LISTED, size=9)
        labels[moved], own[moved] = entries.clusters[places], entries.values[places]
        pairs.follow(moved, labels, own)


def test_lists_of_the_labels_alone_have_no_arc():
    entries, labels, own = listed(0)
    pairs = PairArcs(entries.of(np.arange(0, ROWS * LISTED, LISTED)), labels, own)
    assert len(pairs.sources) == len(pairs.costs(np.zeros(CLUSTERS))) == len(pairs.below(1.0, np.zeros(CLUSTERS))) == 0
