"""Objective against time: ours, whose clusters keep their minimum, beside k-means that keeps none.

Every side clusters the same unit rows into as many clusters with more and more effort (passes, iterations), each time from the
start, and is judged by the cosine objective of its labels. Ours is compared at its own times with the best that any other had
reached by then. Run from the repository's root: `python -m benchmarks.clusters.objective_time --plot FILE`.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path

import matplotlib.figure
import numpy as np
from sklearn.cluster import MiniBatchKMeans

from algos.estimator.estimator import ConstrainedKMeans
from benchmarks.clustering import Labels, Rows, faiss_kmeans, measure, mixture, unit
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish

OURS = "ours, minimum kept"
Points = dict[str, list[dict[str, float]]]  # of each side, by rising effort


def ours(rows: Rows, clusters: int, effort: int, *, ratio: float) -> Labels:
    """The estimator with exact sizes."""
    least = int(ratio * len(rows) / clusters)
    fitted = ConstrainedKMeans(clusters, min_cluster_size=least, exact=True, max_iter=effort, tol=0.0, random_state=0).fit(rows)
    return fitted.labels_


def mini_batches(rows: Rows, clusters: int, effort: int) -> Labels:
    """scikit-learn's, with the batch that ours takes."""
    kmeans = MiniBatchKMeans(clusters, n_init=1, max_iter=effort, batch_size=1024, max_no_improvement=None, random_state=0)
    return np.asarray(kmeans.fit(rows).labels_)


def super_kmeans(rows: Rows, clusters: int, effort: int, *, sampled: bool) -> Labels:
    """superkmeans, which prunes on the leading dimensions of a rotated space; as it comes it trains on a sample."""
    import superkmeans

    whole = {} if sampled else {"sampling_fraction": 1.0, "max_points_per_cluster": len(rows)}
    kmeans = superkmeans.SuperKMeans(
        clusters, rows.shape[1], hierarchical=False, iters=effort, early_termination=False, angular=True, **whole
    )
    return np.asarray(kmeans.assign(rows, kmeans.train(rows))).astype(np.int32)


def sides(options: argparse.Namespace) -> dict[str, tuple[str | None, Callable[..., Labels]]]:
    """Each side's package, if it is an optional one, and its call with rows, clusters and `effort`."""
    return {
        OURS: (None, partial(ours, ratio=options.ratio)),
        "faiss": ("faiss", lambda rows, clusters, effort: faiss_kmeans(rows, clusters, effort, 0)),
        "superkmeans": ("superkmeans", partial(super_kmeans, sampled=True)),
        "superkmeans, all rows": ("superkmeans", partial(super_kmeans, sampled=False)),
        "MiniBatchKMeans": (None, mini_batches),
    }


def gap_at(point: dict[str, float], points: Points) -> float:
    """Objective of a point of ours beside the best that another had reached by then; above 1 where none has."""
    others = [found["objective"] for side, each in points.items() if side != OURS for found in each if found["s"] <= point["s"]]
    return point["objective"] / max(others) if others else float("inf")


def compare(options: argparse.Namespace, count: int) -> tuple[Comparison, Points]:
    """All sides on the mixture of so many rows."""
    rows = unit(mixture(count, options.dim, options.clusters))
    least = int(options.ratio * len(rows) / options.clusters)
    here = {
        side: call for side, (package, call) in sides(options).items() if package is None or importlib.util.find_spec(package)
    }
    points: Points = {side: [] for side in here}
    for call in here.values():
        call(rows[:20_000], 10, effort=1)  # the first call of each starts its threads
    for effort in options.efforts:
        for side, call in here.items():
            runs = [measure(partial(call, effort=effort), rows, options.clusters, least) for _ in range(options.repeats)]
            found = {key: median([run[key] for run in runs]) for key in runs[0]}
            points[side].append({"effort": effort} | found)
            print(f"  {side}, {effort}: {found['s']:.1f} s, {found['objective']:.4f}", flush=True)
    gaps = [gap_at(point, points) for point in points[OURS]]
    beside = {OURS: gaps} | {side: ["-"] * len(each) for side, each in points.items() if side != OURS}
    table: list[dict[str, str | float]] = [
        {"side": side} | point | {"against the best by then": said}
        for side, each in points.items()
        for point, said in zip(each, beside[side], strict=True)
    ]
    title = f"{count:,} x {options.dim}, K = {options.clusters}, minimum {least}; effort: passes, iterations"
    notes = [f"not installed: {', '.join(missing)}"] if (missing := sides(options).keys() - here.keys()) else []
    return Comparison(title, table, gaps, [Figure(f"objective_at_time_{count}", min(gaps), "x")], notes), points


def draw(found: dict[int, Points], path: Path) -> None:
    """Objective against seconds, a panel for each number of rows."""
    figure = matplotlib.figure.Figure(figsize=(5 * len(found), 4), layout="constrained")
    for ax, (count, points) in zip(np.ravel(figure.subplots(1, len(found))), found.items(), strict=True):
        for side, each in points.items():
            ax.plot([point["s"] for point in each], [point["objective"] for point in each], marker="o", ms=4, label=side)
        ax.set(xscale="log", xlabel="seconds", ylabel="objective a row (mean cosine)", title=f"{count:,} rows")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Read the command line, compare, draw, report."""
    parser = new_parser(__doc__ or "", threads=True, dim=128, clusters=1000, repeats=1)
    parser.add_argument("--rows", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--ratio", type=float, default=0.4, help="of the minimum to the mean size")
    parser.add_argument("--efforts", type=int, nargs="+", default=[1, 2, 5, 10, 20], help="passes or iterations of each side")
    parser.add_argument("--plot", type=Path, metavar="FILE")
    options = parse(parser)
    found: dict[int, Points] = {}
    for count in options.rows:
        comparison, found[count] = compare(options, count)
        publish(comparison, options.json)
    if options.plot:
        draw(found, options.plot)


if __name__ == "__main__":
    main()
