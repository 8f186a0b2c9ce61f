"""Clusters of a minimum size: ours against scikit-learn, k-means-constrained, faiss and Sinkhorn-balanced k-means.

Every side gets the same unit rows and the same K, once a repetition, and is judged by the same figures: the cosine objective
of its labels (each cluster at its best center, its members' mean direction), sizes, rows missing to the minimum, and the peak
of the resident memory above what was there before. With `--passes`: one pass of ours against the bare product and argmax.
Run from the repository's root: `python -m benchmarks.clustering`, with `--idx FOLDER` for Fashion-MNIST's pixels, with
`--embeddings FOLDER` for what `quorum embed` wrote, and with several numbers of `--rows` and `--plot FILE` for time against n.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import math
import re
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import matplotlib.figure
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.datasets import load_digits

from algos.estimator.estimator import ConstrainedKMeans
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish
from pipelines.datasets.embedding_folder import EmbeddingFolder

Rows = NDArray[np.float32]
Labels = NDArray[np.int32]
Side = Callable[[Rows, int], Labels]
FLOW = "k-means-constrained"
BOTH, BOTH_FLOW = "ours, both bounds exact", f"{FLOW}, both bounds"
MOST = 2.0  # times the mean size
HEAVY = ("Sinkhorn", FLOW, f"{FLOW}, both bounds")  # n x K numbers or arcs in memory


def digits() -> Rows:
    """scikit-learn's digits, (1797, 64)."""
    return load_digits().data.astype(np.float32)


def idx(folder: Path) -> Rows:
    """Pixels of the training images in a folder of gzipped IDX files, (n, height * width)."""
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        header = np.frombuffer(file.read(16), dtype=">i4")
        return np.frombuffer(file.read(), dtype=np.uint8).reshape(int(header[1]), -1).astype(np.float32)


def embeddings(folder: str) -> Rows:
    """EmbeddingFolder in a folder of Parquet files, as `quorum embed` writes them."""
    vectors = EmbeddingFolder.open(folder)
    groups = [(shard, group) for shard, file in enumerate(vectors.shards) for group in range(len(file.row_groups))]
    return np.concatenate([vectors.read(*place)[0] for place in groups])


def mixture(rows: int, dim: int, clusters: int, seed: int = 0) -> Rows:
    """Gaussian lumps whose sizes follow a power law: most of the rows lie in a few of them."""
    random = np.random.default_rng(seed)
    shares = np.arange(1, clusters + 1) ** -1.0
    lumps = random.choice(clusters, rows, p=shares / shares.sum())
    data = random.standard_normal((rows, dim), dtype=np.float32) * np.float32(0.7)
    data += random.standard_normal((clusters, dim), dtype=np.float32)[lumps]
    return data


def unit(rows: Rows) -> Rows:
    """Directions of the rows, without those of length 0."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / length)[length[:, 0] > 0]


def sinkhorn_kmeans(rows: Rows, clusters: int, passes: int, seed: int, *, epsilon: float = 0.02, scalings: int = 20) -> Labels:
    """K-means whose assignment is balanced by Sinkhorn scaling (Cuturi, NeurIPS 2013); holds n x K numbers."""
    data = torch.from_numpy(rows)
    centers = data[torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))[:clusters]]
    column = torch.zeros(clusters)
    for _ in range(passes):
        scores = data @ centers.T / epsilon
        for _ in range(scalings):
            row = torch.logsumexp(scores + column, dim=1, keepdim=True)
            column = -torch.logsumexp(scores - row, dim=0)
        labels = (scores + column).argmax(dim=1)
        centers = torch.zeros_like(centers).index_add_(0, labels, data)
        centers = torch.nn.functional.normalize(centers, dim=1)
    return labels.numpy()


def faiss_kmeans(rows: Rows, clusters: int, passes: int, seed: int) -> Labels:
    """Spherical k-means of faiss; it has no minimum."""
    import faiss

    kmeans = faiss.Kmeans(rows.shape[1], clusters, niter=passes, spherical=True, seed=seed, max_points_per_centroid=len(rows))
    kmeans.train(rows)
    return kmeans.index.search(rows, 1)[1][:, 0]


def flow_kmeans(rows: Rows, clusters: int, least: int, passes: int, seed: int, most: int | None = None) -> Labels:
    """k-means-constrained: Lloyd's iterations whose assignment is a min-cost flow over rows and clusters."""
    from k_means_constrained import KMeansConstrained

    kmeans = KMeansConstrained(clusters, size_min=least, size_max=most, n_init=1, max_iter=passes, random_state=seed)
    return kmeans.fit_predict(rows)


def sides(options: argparse.Namespace, least: int, seed: int) -> dict[str, tuple[str | None, Side]]:
    """Each side's package, if it is an optional one, and its call."""
    passes = options.passes_each

    def ours(rows: Rows, clusters: int, *, exact: bool, most: float | None = None) -> Labels:
        settings = {"min_cluster_size": least, "max_iter": passes, "init": options.init, "random_state": seed}
        return ConstrainedKMeans(clusters, exact=exact, max_size_ratio=most, **settings).fit(rows).labels_

    return {
        "ours": (None, lambda rows, k: ours(rows, k, exact=False)),
        "ours, exact": (None, lambda rows, k: ours(rows, k, exact=True)),
        BOTH: (None, lambda rows, k: ours(rows, k, exact=True, most=MOST)),
        "MiniBatchKMeans": (
            None,
            lambda rows, k: MiniBatchKMeans(k, n_init=1, max_iter=passes, random_state=seed).fit(rows).labels_,
        ),
        "KMeans": (None, lambda rows, k: KMeans(k, n_init=1, max_iter=passes, random_state=seed).fit(rows).labels_),
        "faiss": ("faiss", lambda rows, k: faiss_kmeans(rows, k, passes, seed)),
        "Sinkhorn": (None, lambda rows, k: sinkhorn_kmeans(rows, k, passes, seed)),
        FLOW: ("k_means_constrained", lambda rows, k: flow_kmeans(rows, k, least, options.flow_passes, seed)),
        BOTH_FLOW: (
            "k_means_constrained",
            lambda rows, k: flow_kmeans(rows, k, least, options.flow_passes, seed, math.floor(MOST * len(rows) / k)),
        ),
    }


def memory(kind: str) -> float:
    """MB that the process holds (VmRSS) or held at most since `forget_peak` (VmHWM)."""
    (kib,) = re.findall(rf"{kind}:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(kib) / 1024


def forget_peak() -> None:
    """Start the peak of the resident memory anew; Linux only."""
    Path("/proc/self/clear_refs").write_text("5")


def judge(rows: Rows, labels: Labels, clusters: int, least: int) -> dict[str, float]:
    """Objective per row and sizes of some labels."""
    sums = torch.zeros(clusters, rows.shape[1], dtype=torch.float64)
    sums.index_add_(0, torch.from_numpy(np.asarray(labels, dtype=np.int64)), torch.from_numpy(rows).double())
    counts = np.bincount(labels, minlength=clusters)
    return {
        "objective": float(sums.norm(dim=1).sum()) / len(rows),
        "smallest": int(counts.min()),
        "largest": int(counts.max()),
        "rows missing": int((least - counts).clip(min=0).sum()),
    }


def measure(side: Side, rows: Rows, clusters: int, least: int) -> dict[str, float]:
    """One run of one side."""
    forget_peak()
    before, began = memory("VmRSS"), time.perf_counter()
    labels = side(rows, clusters)
    seconds, peak = time.perf_counter() - began, max(memory("VmHWM") - before, 0.0)  # what judges the labels has its own
    return {"s": seconds} | judge(rows, labels, clusters, least) | {"peak MB": peak}


def compare(options: argparse.Namespace, name: str, rows: Rows) -> Comparison:
    """All sides on one table of rows."""
    least = int(options.ratio * len(rows) / options.clusters)
    runs: dict[str, list[dict[str, float]]] = {}
    left_out = {*options.skip, *(HEAVY if len(rows) > options.most_heavy else ())}
    ConstrainedKMeans(2, exact=True, max_iter=2).fit(rows)  # the first call of each operator starts threads
    for seed in range(options.repeats):
        for side, (package, call) in sides(options, least, seed).items():
            if side not in left_out and (package is None or importlib.util.find_spec(package)):
                runs.setdefault(side, []).append(measure(call, rows, options.clusters, least))
    middle = {side: {key: median([run[key] for run in each]) for key in each[0]} for side, each in runs.items()}
    first = middle["ours"]
    table: list[dict[str, str | float]] = []
    for side in sides(options, least, 0):
        found = middle.get(side)
        state = "left out" if side in left_out else "not installed"
        figures = found or dict.fromkeys(first, "-") | {"s": state}
        against = (
            {"s / ours": found["s"] / first["s"], "objective / ours": found["objective"] / first["objective"]} if found else {}
        )
        table.append({"side": side} | figures | ({"s / ours": "-", "objective / ours": "-"} | against))
    baseline = FLOW if FLOW in runs else "KMeans"
    ratios = [theirs["s"] / mine["s"] for theirs, mine in zip(runs[baseline], runs["ours"], strict=True)]
    title = f"{name}: {len(rows):,} x {rows.shape[1]}, K = {options.clusters}, minimum {least}, {torch.get_num_threads()} threads"
    notes = [
        f"the ratio is the time of {baseline} to ours",
        f"{options.passes_each} passes, k-means-constrained {options.flow_passes}",
    ]
    return Comparison(title, table, ratios, key_figures(runs), notes)


def key_figures(runs: dict[str, list[dict[str, float]]]) -> list[Figure]:
    """What the sides that took part say of ours: medians over the repetitions of each one's own ratio."""

    def against(ours: str, others: Sequence[str], key: str) -> float:
        best = [max(run[key] for run in each) for each in zip(*(runs[side] for side in others), strict=True)]
        return median([mine[key] / other for mine, other in zip(runs[ours], best, strict=True)])

    missing = max(run["rows missing"] for side in ("ours, exact", BOTH) for run in runs[side])
    found = [
        Figure("exact_rows_missing", missing, "rows"),
        Figure("exact_largest", max(run["largest"] for run in runs[BOTH]), "rows"),
    ]
    if FLOW in runs:
        found += [
            Figure("estimator_speed", 1 / against("ours", [FLOW], "s"), "x"),
            Figure("estimator_objective", against("ours", [FLOW], "objective"), "x"),
            Figure("exact_objective", against("ours, exact", [FLOW], "objective"), "x"),
        ]
    if BOTH_FLOW in runs:
        found += [
            Figure("both_bounds_speed", 1 / against(BOTH, [BOTH_FLOW], "s"), "x"),
            Figure("both_bounds_objective", against(BOTH, [BOTH_FLOW], "objective"), "x"),
        ]
    if free := [side for side in ("MiniBatchKMeans", "faiss") if side in runs]:
        found.append(Figure("exact_against_free", against("ours, exact", free, "objective"), "x"))
    return found


def stamps() -> NDArray[np.float64]:
    """Wall time and this process's CPU time in seconds, (2,)."""
    return np.array([time.perf_counter(), time.process_time()])


def compare_pass(options: argparse.Namespace) -> Comparison:
    """One more pass of the estimator against the bare product and argmax of the same batches."""
    (count,) = options.rows
    rows = mixture(count, options.dim, options.clusters)
    data = torch.from_numpy(rows)
    centers = data[: options.clusters].clone()
    bare, ours, peaks = [], [], []
    for _ in range(options.repeats):
        began = stamps()
        for batch in data.split(options.batch_size):
            (batch @ centers.T).argmax(dim=1)
        bare.append(stamps() - began)
        spent = []
        for passes in (1, 2):
            forget_peak()
            before, began = memory("VmRSS"), stamps()
            settings = {"batch_size": options.batch_size, "max_iter": passes, "tol": 0.0, "random_state": 0}
            ConstrainedKMeans(options.clusters, **settings).fit(rows)
            spent.append(stamps() - began)
            peaks.append(memory("VmHWM") - before)
        ours.append(spent[1] - spent[0])
    table: list[dict[str, str | float]] = [
        {"side": side, "s a pass": median([wall for wall, _ in times]), "CPU s a pass": median([cpu for _, cpu in times])}
        for side, times in (("product and argmax", bare), ("one more pass of fit", ours))
    ]
    ratios = [mine[1] / theirs[1] for mine, theirs in zip(ours, bare, strict=True)]
    notes = [f"the ratio is of CPU time, which other programs disturb less; peak {max(peaks):,.0f} MB above the data"]
    title = f"{count:,} x {options.dim}, K = {options.clusters}, B = {options.batch_size}, {torch.get_num_threads()} threads"
    found = [Figure("estimator_pass", median(ratios), "x"), Figure("estimator_pass_memory", max(peaks), "MB")]
    return Comparison(title, table, ratios, found, notes)


def draw(costs: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Seconds against rows, a line a side."""
    figure = matplotlib.figure.Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    for side, points in costs.items():
        ax.plot(*zip(*points, strict=True), marker="o", label=side)
    ax.set(xscale="log", yscale="log", xlabel="rows", ylabel="seconds")
    ax.legend(frameon=False, fontsize=8)
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, threads=True)
    parser.add_argument("--data", nargs="*", choices=["digits", "mixture"], default=["digits", "mixture"])
    parser.add_argument("--idx", type=Path, metavar="FOLDER", help="also the pixels of the training images of gzipped IDX files")
    parser.add_argument("--embeddings", metavar="FOLDER", help="also the vectors of a folder of Parquet files")
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000], help="of the mixture, or of several")
    parser.add_argument("--dim", type=int, default=64, help="of the mixture")
    parser.add_argument("--clusters", type=int, default=100)
    parser.add_argument("--ratio", type=float, default=0.4)
    parser.add_argument("--init", choices=["random", "k-means++"], default="k-means++", help="of ours")
    parser.add_argument("--passes-each", type=int, default=20, help="over the data, of every side but k-means-constrained")
    parser.add_argument("--flow-passes", type=int, default=20, help="of k-means-constrained, each a flow over n x K arcs")
    parser.add_argument("--skip", nargs="*", default=[], metavar="SIDE")
    parser.add_argument(
        "--most-heavy", type=int, default=50_000, metavar="ROWS", help=f"beyond so many {' and '.join(HEAVY)} are left out"
    )
    parser.add_argument("--passes", action="store_true", help="one pass against the bare product instead")
    parser.add_argument("--batch-size", type=int, default=1024, help="with --passes")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="picture of seconds against rows")
    parser.add_argument("--repeats", type=int, default=1)
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    if options.passes:
        publish(compare_pass(options), options.json)
        return
    costs: dict[str, list[tuple[int, float]]] = {}
    for name, load in tables(options).items():
        rows = unit(load())
        comparison = compare(options, name, rows)
        publish(comparison, options.json)
        for row in comparison.rows:
            if not isinstance(row["s"], str):
                costs.setdefault(str(row["side"]), []).append((len(rows), row["s"]))
    if options.plot:
        draw(costs, options.plot)


def tables(options: argparse.Namespace) -> dict[str, Callable[[], Rows]]:
    """What was asked for, by name."""
    chosen: dict[str, Callable[[], Rows]] = {"digits": digits} if "digits" in options.data else {}
    if "mixture" in options.data:
        chosen |= {f"mixture of {rows:,}": partial(mixture, rows, options.dim, options.clusters) for rows in options.rows}
    if options.idx:
        chosen["IDX pixels"] = partial(idx, options.idx)
    if options.embeddings:
        chosen["embeddings"] = partial(embeddings, options.embeddings)
    return chosen


if __name__ == "__main__":
    main()
