"""`quorum dedup` within clusters against brute force, on patches of photographs: how much it finds, and whether it is right.

20,000 grey patches of 32 x 32 px at random places of scikit-learn's two photographs, less their mean, in a random projection to
64 numbers: those that overlap but for a few px are near-duplicates that nobody made. Brute force takes the rows in the same order
and all cosines in float64. Run from the repository's root: `python -m benchmarks.clusters.near_duplicates`.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.datasets import load_sample_images

import quorum
from benchmarks.report import Comparison, Figure, new_parser, parse, publish

SIDE, PROJECTED = 32, 64
PIECE = 1000  # rows of brute force at a time


@dataclass(frozen=True)
class Found:
    """What one way finds: (N,) which rows are removed, the pairs that it tells of, and the seconds that it took."""

    removed: np.ndarray
    pairs: np.ndarray
    seconds: float


def patches(rows: int) -> np.ndarray:
    """Unit rows (N, 64) float32 of patches."""
    random, found = np.random.default_rng(0), list[np.ndarray]()
    photographs = load_sample_images().images
    for photograph in photographs:
        grey = photograph.astype(np.float32).mean(axis=2)
        tops, lefts = (random.integers(0, size - SIDE, -(-rows // len(photographs))) for size in grey.shape)
        found += [grey[top : top + SIDE, left : left + SIDE].reshape(-1) for top, left in zip(tops, lefts, strict=True)]
    pixels = np.stack(found[:rows])
    projected = (pixels - pixels.mean(axis=1, keepdims=True)) @ random.normal(size=(SIDE**2, PROJECTED)).astype(np.float32)
    return projected / np.linalg.norm(projected, axis=1, keepdims=True)


def brute_force(rows: np.ndarray, order: np.ndarray, threshold: float) -> tuple[np.ndarray, int]:
    """Which rows (N,) have an earlier one in the order at the threshold or above, and how many such pairs there are."""
    exact = rows[order].astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    removed, pairs = np.zeros(len(rows), bool), 0
    for start in range(0, len(rows), PIECE):
        near = np.tril(exact[start : start + PIECE] @ exact.T >= threshold, k=start - 1)
        removed[order[start : start + PIECE]] = near.any(axis=1)
        pairs += int(near.sum())
    return removed, pairs


def dedup(clusters: quorum.Clustering, to: Path, threshold: float, neighbours: int) -> Found:
    """Rows that `quorum dedup` removes, whose ids are their places."""
    made = quorum.dedup(clusters, to, threshold=threshold, neighbours=neighbours)
    table = pq.read_table(to / "removed.parquet")
    pairs = np.column_stack([table["id"].to_numpy(), table["duplicate_of"].to_numpy()])
    removed = np.zeros(made.report["rows"], bool)
    removed[pairs[:, 0]] = True
    return Found(removed, pairs, made.report["seconds"])


def compare(options: argparse.Namespace, folder: Path) -> Comparison:
    """Both numbers of neighbours against brute force."""
    rows = patches(options.rows)
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), PROJECTED)
    pq.write_table(pa.table({"embedding": vectors}), folder / "rows.parquet", row_group_size=8192)
    clusters = quorum.cluster(data=str(folder / "rows.parquet"), to=str(folder / "clusters"), num_clusters=options.clusters)
    order = np.argsort(clusters.labels["similarity_head0"].to_numpy(), kind="stable")  # the farthest from its center first
    truth, pairs = brute_force(rows, order, options.threshold)
    table, recalls, precisions = list[dict[str, str | float]](), [], []
    for neighbours in (0, 1):
        found = dedup(clusters, folder / f"dedup-{neighbours}", options.threshold, neighbours)
        cosines = (rows[found.pairs].astype(np.float64).prod(axis=1)).sum(axis=1)
        recalls.append(float((found.removed & truth).sum() / truth.sum()))
        precisions.append(float((truth[found.pairs[:, 0]] & (cosines >= options.threshold - 1e-6)).mean()))
        table.append(
            {
                "neighbours": neighbours,
                "removed": int(found.removed.sum()),
                "brute force": int(truth.sum()),
                "recall": f"{recalls[-1]:.4f}",
                "precision": f"{precisions[-1]:.4f}",
                "least cosine": f"{cosines.min():.6f}",
                "s": found.seconds,
            }
        )
    title = f"{options.rows:,} x {PROJECTED}, K = {options.clusters}, cosine {options.threshold}, {pairs:,} true pairs"
    figures = [
        Figure("dedup_recall", recalls[-1], "share"), Figure("dedup_precision", min(precisions), "share"),
        Figure("dedup_pairs", pairs, "pairs"),
    ]  # fmt: skip
    return Comparison(
        title, table, [recalls[1] / recalls[0]], figures, ["the ratio is the recall with one neighbour to that with none"]
    )


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--threshold", type=float, default=0.95)
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    with tempfile.TemporaryDirectory() as folder:
        publish(compare(options, Path(folder)), options.json)


if __name__ == "__main__":
    main()
