"""Where a clustering of vectors starts: the form of its rows, and k-means++ on a sample of them from all over the folder.

A function of the vectors and the seed. Random directions, the core's default, suit embeddings that are still being learned; fixed
ones fill few of them, and the first passes would go into moving the empty ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from algos.kmeans.metric import Metric
from pipelines.datasets.embedding_folder import EmbeddingFolder, first_spoilt
from pipelines.datasets.vector_column import DIRECTIONS, RowForm

ROWS_PER_CLUSTER = 10
LEAST_GROUPS = 64  # row groups that the sample comes from, where there are as many
MOST_SEEDED = 4096  # clusters; k-means++ costs K times the sample, and beyond that random rows must do
ROWS_OF_FORM = 1 << 16  # whose mean and spread stand for those of all
READERS = 8
SAMPLE, CHOICE = 1, 2  # what random numbers are for; numpy takes (seed,) and (seed, 0) for the same


def draw_form(vectors: EmbeddingFolder, metric: Metric, clusters: int, min_size_ratio: float, seed: int) -> RowForm:
    """What rows become under a metric; of Euclidean ones origin and scale are those of a sample, or of all where they are few.

    Rows that lie far from the others give no scale, see `algos.estimator.far_rows`.

    Args:
        vectors: the rows.
        metric: cosine or euclidean.
        clusters: K, of which each is to have `min_size_ratio` of the mean size.
        min_size_ratio: see `clusters`.
        seed: of the sample.

    Raises:
        UserError: for a sampled row with NaN or infinity, and for rows whose spread is beyond float32.
    """
    if metric == "cosine":
        return DIRECTIONS
    import torch

    from algos.estimator.far_rows import far_rows  # which loads scikit-learn

    stored = vectors.in_form(RowForm("euclidean", dtype="float64"))
    sample = sample_rows(stored, min(ROWS_OF_FORM, vectors.rows), seed)
    least = min_size_ratio * len(sample) / clusters
    if least > 1:
        sample = np.delete(sample, far_rows(torch.from_numpy(sample), None, least).without_scale.numpy(), axis=0)
    return RowForm.around(sample)


def draw_initial_centers(vectors: EmbeddingFolder, heads: Sequence[int], seed: int) -> np.ndarray:
    """Centers (sum of K, D) float32 of all heads, among rows as they are read.

    Raises:
        UserError: for a sampled row that is spoilt.
    """
    sample = sample_rows(vectors, min(ROWS_PER_CLUSTER * max(heads), vectors.rows), seed)
    return np.concatenate([draw_centers(sample, clusters, seed, head=head) for head, clusters in enumerate(heads)])


def sample_rows(vectors: EmbeddingFolder, least: int, seed: int) -> np.ndarray:
    """Rows (R, D) of `sample_places`."""
    return sample_places(vectors, least, seed)[0]


def sample_places(vectors: EmbeddingFolder, least: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At least so many rows (R, D) and their places (R,), drawn without replacement from random row groups.

    Each of these gives in proportion to its rows.

    Raises:
        UserError: for a row that is spoilt.
    """
    groups = [(shard, group) for shard, file in enumerate(vectors.shards) for group in range(len(file.row_groups))]
    rows = np.array([vectors.shards[shard].row_groups[group] for shard, group in groups])
    random = np.random.default_rng((seed, 0, 0, SAMPLE))
    order = random.permutation(len(groups))
    enough = int(np.searchsorted(rows[order].cumsum(), least)) + 1
    order = order[: max(enough, LEAST_GROUPS)]
    order = order[rows[order] > 0]
    takes = np.ceil(rows[order] * (least / rows[order].sum())).astype(int)
    chosen = [np.sort(random.permutation(rows[one])[:take]) for one, take in zip(order, takes, strict=True)]
    with ThreadPoolExecutor(READERS) as pool:
        read = list(pool.map(lambda one, picked: vectors.read(*groups[one], picked), order.tolist(), chosen))
    sample, places = (np.concatenate(parts) for parts in zip(*read, strict=True))
    bad = first_spoilt(sample, places)
    if bad is not None:
        raise vectors.refusal(bad)
    return sample, places


def draw_centers(sample: np.ndarray, clusters: int, seed: int, *, head: int, level: int = 0) -> np.ndarray:
    """Centers (K, D) among the rows of a sample (R, D), by k-means++ where K allows; K is at most R.

    Args:
        sample: the rows.
        clusters: K.
        seed: of the run.
        head: whose they are, or which parent's.
        level: of the clusters, from the top.
    """
    random = np.random.default_rng((seed, head, level, CHOICE))
    if clusters > MOST_SEEDED:
        return sample[random.permutation(len(sample))[:clusters]]
    chosen = plus_plus(sample, clusters, np.random.RandomState(int(random.integers(2**31))))
    centers: np.ndarray = sample[chosen]
    return centers


def plus_plus(rows: np.ndarray, clusters: int, random: np.random.RandomState) -> np.ndarray:
    """Places (K,) of rows (R, D) float32 that greedy k-means++ takes for centers.

    Of `2 + log K` rows drawn in proportion to their squared distance to the nearest center, the one that leaves the least sum
    of them comes next. These are the rows that scikit-learn takes, which makes float64 of all rows at every step.
    """
    exact = rows.astype(np.float64)
    squares = np.einsum("ij,ij->i", exact, exact)
    ones = np.ones(len(rows), np.float32)

    def distances(places: np.ndarray) -> np.ndarray:
        found = (-2 * exact[places]) @ exact.T
        found += squares[places, None]
        found += squares
        single: np.ndarray = np.maximum(found.astype(np.float32), 0)
        return single

    chosen = [int(random.choice(len(rows), p=ones / ones.sum()))]
    nearest = distances(np.array(chosen))[0]
    left, drawn = nearest @ ones, 2 + int(np.log(clusters))
    for _ in range(1, clusters):
        places = np.searchsorted(np.cumsum(nearest), random.uniform(size=drawn) * left).clip(max=len(rows) - 1)
        nearer = distances(places)
        np.minimum(nearest, nearer, out=nearer)
        sums = nearer @ ones[:, None]
        best = int(sums.argmin())
        chosen.append(int(places[best]))
        left, nearest = sums[best], nearer[best]
    return np.array(chosen)
