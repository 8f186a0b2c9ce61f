"""One pass of online constrained k-means against the bare product and argmax that no such method can avoid.

All sides take the same batches in turn: `batch @ centers.T` and its argmax with fixed centers; the same with `max`, which is the
faster operator on a CPU and the one that the clustering uses; and `partial_fit`, which assigns, collects the statistics and moves
duals and centers. The ratio is to the argmax, the table shows both.
Run from the repository's root: `python -m benchmarks.online_pass`.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from benchmarks.report import Comparison, Figure, median, new_parser, parse, publish


def unit_rows(rows: int, dim: int, seed: int = 0) -> Tensor:
    """Random unit rows (rows, dim)."""
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def seconds(call: Callable[[], object]) -> float:
    """Time of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def one_pass(batches: list[Tensor], centers: Tensor, kmeans: OnlineConstrainedKMeans) -> dict[str, float]:
    """Seconds of a pass of each side, batch by batch in turn so that all meet the same load."""
    sides: dict[str, Callable[[Tensor], object]] = {
        "product and argmax": lambda batch: (batch @ centers.T).argmax(dim=1),
        "product and max": lambda batch: (batch @ centers.T).max(dim=1).indices,
        "online pass": kmeans.partial_fit,
    }
    spent = dict.fromkeys(sides, 0.0)
    for batch in batches:
        for name, side in sides.items():
            spent[name] += seconds(functools.partial(side, batch))
    return spent


def profile(batches: list[Tensor], kmeans: OnlineConstrainedKMeans) -> str:
    """Operators of some batches of the online pass by their own CPU time."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorded:
        for batch in batches:
            kmeans.partial_fit(batch)
    return recorded.key_averages().table(sort_by="self_cpu_time_total", row_limit=14, max_name_column_width=40)


def compare(options: argparse.Namespace) -> Comparison:
    """Run the passes in turn and set their medians side by side."""
    batches = list(unit_rows(options.rows, options.dim).split(options.batch_size))
    kmeans = OnlineConstrainedKMeans([options.clusters], options.dim, batches_per_epoch=len(batches))
    centers = kmeans.centers.clone()
    one_pass(batches[:20], centers, kmeans)  # warm-up
    times = []
    for _ in range(options.repeats):
        kmeans.end_epoch()
        times.append(one_pass(batches, centers, kmeans))
    if options.profile:
        print(profile(batches[:50], kmeans))
    ratios = [one["online pass"] / one["product and argmax"] for one in times]
    spent = {side: median([one[side] for one in times]) for side in times[0]}
    rows = [{"side": side, "s a pass": each, "ms a batch": 1e3 * each / len(batches)} for side, each in spent.items()]
    data = f"{options.rows:,} x {options.dim} rows, K = {options.clusters}, B = {options.batch_size}"
    title = f"{data}, {torch.get_num_threads()} threads"
    return Comparison(title, rows, ratios, [Figure("online_pass", median(ratios), "x")])


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, threads=True)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--clusters", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print where the online pass spends its time")
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    publish(compare(options), options.json)


if __name__ == "__main__":
    main()
