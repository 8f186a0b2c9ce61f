"""Where the default step of the duals is good: bounds kept and similarity reached at it and at steps around it, on embeddings.

Each clustering is the core alone, over passes of rows in another order each, and is scored by its last pass as it runs: by the
rows that clusters lack, and by the similarity of rows to the centers that they got. Run from the repository's root:
`python -m benchmarks.science.apart.dual_steps EMBEDDINGS...`; `python -m benchmarks.science table dual-steps` draws the table.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.dual_step import default_dual_lr
from benchmarks.science.table import markdown

NAME = "dual-steps"
KEPT = Path("docs/science/dual_steps.parquet")
CLUSTERS, RATIOS, BATCHES = (30, 100, 300, 1000), (0.1, 0.4, 0.8, 1.0), (32, 128, 512)
STEPS = (1 / 16, 1 / 4, 1.0, 4.0, 16.0)  # times the default
LEAST_ROWS = 6  # of a cluster in the mean
PASSES = 10
KEPT_WITHIN = 0.02  # of the rows that the minimums of all clusters come to
SETTING = ["data", "clusters", "ratio", "batch"]


def read_rows(folder: Path) -> Tensor:
    """Embeddings of a folder as `quorum embed` writes them, unit vectors around their mean (N, D)."""
    rows = torch.from_numpy(np.stack(pd.read_parquet(folder, columns=["embedding"])["embedding"].to_list()))
    return F.normalize(rows - rows.mean(dim=0), dim=1)


def last_pass(rows: Tensor, clusters: int, ratio: float, batch: int, factor: float) -> dict[str, float]:
    """What a clustering's last pass comes to: rows below the minimums in all, the smallest cluster, and mean similarity."""
    batches = len(rows) // batch
    kmeans = OnlineConstrainedKMeans(
        [clusters], rows.shape[1], min_size_ratio=ratio, dual_lr=factor * default_dual_lr(clusters, ratio, batches),
        initial_centers=rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:clusters]],
    )  # fmt: skip
    for number in range(PASSES):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1 + number))[: batches * batch]
        similarity = []
        for places in order.split(batch):
            taken = rows[places]
            similarity.append(kmeans.similarity(taken, kmeans.assign(taken)).mean())  # before the rows move their centers
            kmeans.partial_fit(taken)
        (summary,) = kmeans.end_epoch()
    missing = float((summary.min_size - summary.counts).clamp(min=0).sum()) / (summary.min_size * clusters)
    return {
        "missing": missing,
        "smallest": float(summary.counts.min()) / summary.min_size,
        "similarity": float(torch.stack(similarity).double().mean()),
    }


def measured(folders: list[Path]) -> Iterator[dict[str, float | str]]:
    """A row for each clustering."""
    for folder in folders:
        rows = read_rows(folder)
        for clusters, ratio, batch in itertools.product(CLUSTERS, RATIOS, BATCHES):
            if clusters * LEAST_ROWS > len(rows):
                continue
            began = time.monotonic()
            for factor in STEPS:
                setting = {"data": folder.name, "rows": len(rows), "dim": rows.shape[1], "clusters": clusters, "ratio": ratio}
                yield {**setting, "batch": batch, "factor": factor, **last_pass(rows, clusters, ratio, batch, factor)}
            print(f"{folder.name}: K {clusters}, ratio {ratio}, batch {batch}: {time.monotonic() - began:.1f} s", flush=True)


def best_steps(found: pd.DataFrame) -> pd.DataFrame:
    """The best factor of each setting: of those that keep the bounds that of most similarity, else that which misses least."""
    kept = found.assign(off=found["missing"].clip(lower=KEPT_WITHIN))
    ordered = kept.sort_values(["off", "similarity"], ascending=[True, False], kind="stable")
    return ordered.groupby(SETTING).first()


def draw(file: Path = KEPT) -> str:
    """The table in Markdown: at the default step the share of rows missing, and the similarity beside the best step's."""
    found = pd.read_parquet(file)
    default, best = found[found["factor"] == 1].set_index(SETTING), best_steps(found)
    default["of_best"] = default["similarity"] / best["similarity"].reindex(default.index)
    default["best"] = best["factor"].reindex(default.index)
    parts = [
        f"The last of {PASSES} passes at the default step: rows that clusters lack, in % of all minimums; similarity over that\n"
        f"of the best step; and how many times the default this is. Of {min(STEPS):g} to {max(STEPS):g} times the default the\n"
        f"best is the most similar of those that lack {KEPT_WITHIN:.0%} at most, or the one that lacks least.",
    ]
    for data, rows in found.groupby("data"):
        settings = itertools.product(sorted(set(rows["clusters"])), BATCHES)
        cells = [
            [f"{clusters:,}", f"{batch}", *(_cell(default.loc[(data, clusters, ratio, batch)]) for ratio in RATIOS)]
            for clusters, batch in settings
        ]
        parts.append(f"{data}, {rows['rows'].iloc[0]:,} rows of {rows['dim'].iloc[0]} numbers:")
        parts.append(markdown(["K", "batch", *(f"ratio {ratio:g}" for ratio in RATIOS)], cells))
    return "\n\n".join(parts) + "\n"


def _cell(row: pd.Series) -> str:
    return f"{100 * row['missing']:.1f} %, {row['of_best']:.3f}, {row['best']:g}x"


def main() -> None:
    """Read the command line, cluster, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("embeddings", nargs="+", type=Path, help="folders of quorum embed, each named as its data")
    parser.add_argument("--to", type=Path, default=KEPT)
    options = parser.parse_args()
    torch.set_num_threads(1)
    pd.DataFrame(measured(options.embeddings)).to_parquet(options.to, index=False)
    print(draw(options.to), end="")


if __name__ == "__main__":
    main()
