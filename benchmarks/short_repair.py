"""Exact sizes from a short list of rows (`quorum cluster --exact`) against the optimum over all rows.

Both sides start from the same centers, prices and labels of a few passes over a mixture of lumps of power-law sizes, in this
process. Run from the repository's root: `python -m benchmarks.short_repair`, with `--ratios 0.4 1.0 0.4:2`
for several minimums, the last with a maximum.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from algos.exact.repair_sizes import repair_sizes
from algos.exact.row_bounds import maximum_rows, minimum_rows
from algos.exact.shortlist import Shortlist, bound_over_all, list_rows, repair_listed
from algos.kmeans.batches import batch_rows
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.passes import Passes
from benchmarks.clustering import mixture
from benchmarks.report import Comparison, new_parser, parse, publish

PIECE = 1 << 20


@dataclass(frozen=True)
class Labelled:
    """Unit rows (n, D) and their labels (n,) after some passes, with sizes (K,)."""

    rows: Tensor
    kmeans: OnlineConstrainedKMeans
    labels: Tensor
    counts: Tensor

    def similarity(self, labels: Tensor) -> float:
        """Total similarity of the rows to the centers of these labels."""
        return float((self.rows.double() * self.kmeans.centers.double()[labels]).sum())


def cluster(rows: Tensor, clusters: int, passes: int, ratio: float) -> Labelled:
    """Passes as `quorum cluster` makes them, and the labels under the last prices."""
    batches = rows.split(batch_rows(len(rows), clusters))
    first = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:clusters]]
    settings = {"min_size_ratio": ratio, "batches_per_epoch": len(batches), "initial_centers": first}
    kmeans = OnlineConstrainedKMeans([clusters], rows.shape[1], **settings)
    steps = Passes(kmeans)
    for number in range(passes):
        steps.begin(number)
        for batch in batches:
            kmeans.partial_fit(batch)
        steps.end()
    labels = torch.cat([kmeans.assign(batch)[0] for batch in batches])
    return Labelled(rows, kmeans, labels, labels.bincount(minlength=clusters))


def short(before: Labelled, least: int, most: int | None) -> tuple[Tensor, int]:
    """Labels (n,) from a short list, and how many rows it had."""
    kmeans, rows = before.kmeans, torch.arange(len(before.rows))

    def fill(lists: list[Shortlist]) -> None:
        for piece in rows.split(max(PIECE // len(kmeans.centers), 1)):
            lists[0].add(kmeans.priced(before.rows[piece]), before.labels[piece], piece)

    ((places, owners),) = list_rows([before.counts], [least], [most], fill)
    labels = before.labels.clone()
    labels[places] = repair_listed(before.rows[places], owners, kmeans.centers, kmeans.duals, before.counts, least, most)
    return labels, len(places)


def whole(before: Labelled, least: int, most: int | None) -> Tensor:
    """The best labels (n,) over all rows."""
    centers, data = before.kmeans.centers.double(), before.rows.double()
    prices = before.kmeans.duals
    return repair_sizes(lambda mine, clusters: data[mine] @ centers[clusters].T, len(data), prices, least, most).labels


def compare(options: argparse.Namespace) -> Comparison:
    """Both repairs at every ratio."""
    rows = F.normalize(torch.from_numpy(mixture(options.rows, options.dim, options.clusters)), dim=1)
    table: list[dict[str, str | float]] = []
    ratios = []
    for bounds in options.ratios:
        ratio, *maximum = (float(part) for part in bounds.split(":"))
        before = cluster(rows, options.clusters, options.passes, ratio)
        least = minimum_rows(ratio, len(rows), options.clusters)
        most = maximum_rows(maximum[0], len(rows), options.clusters) if maximum else None
        began = time.perf_counter()
        labels, listed = short(before, least, most)
        middle = time.perf_counter()
        best = whole(before, least, most)
        seconds = middle - began, time.perf_counter() - middle
        ours, optimum = before.similarity(labels), before.similarity(best)
        bound = bound_over_all(before.similarity(before.labels), before.counts, before.kmeans.duals, least, most)
        ratios.append(seconds[1] / seconds[0])
        table.append(
            {
                "ratio": bounds,
                "clusters below": int((before.counts < least).sum()),
                "rows missing": int((least - before.counts).clamp(min=0).sum()),
                "rows listed": listed,
                "smallest after / minimum": f"{int(labels.bincount(minlength=options.clusters).min())} / {least}",
                "largest after / maximum": f"{int(labels.bincount(minlength=options.clusters).max())} / {most or '-'}",
                "below the optimum": f"{(optimum - ours) / optimum:.4%}",
                "gap stated": f"{(bound - ours) / ours:.3%}",
                "s": seconds[0],
                "s, all rows": seconds[1],
            }
        )
    title = (
        f"{options.rows:,} x {options.dim}, K = {options.clusters}, {options.passes} passes, {torch.get_num_threads()} threads"
    )
    return Comparison(title, table, ratios, notes=["the ratio is the time over all rows to that of the short list"])


def command_line() -> argparse.ArgumentParser:
    """What may be told on the command line."""
    parser = new_parser(__doc__, threads=True)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--clusters", type=int, default=500)
    parser.add_argument("--passes", type=int, default=2)
    parser.add_argument("--ratios", nargs="+", default=["0.4"], metavar="MIN[:MAX]")
    return parser


def main() -> None:
    """Read the command line, compare, report."""
    options = parse(command_line())
    publish(compare(options), options.json)


if __name__ == "__main__":
    main()
