"""The linear probe of papers, on augmented images, against the cached one of `quorum evaluate`, over runs that differ by seed.

Run from the repository's root: `python -m benchmarks.science.apart.probes RUNS...`, folders called STUDY.CELL.ARM.SEED;
`python -m benchmarks.science table probes` draws the table.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import pandas as pd
from scipy.stats import t as student

import quorum

NAME = "probes"
KEPT = Path("docs/science/probes.parquet")


def measured(runs: list[Path]) -> pd.DataFrame:
    """A row for each run: both scores on its test split."""
    rows = []
    for run in runs:
        _, cell, arm, seed = run.name.split(".")
        cached, published = quorum.evaluate(run), quorum.probe(run=run).scores
        scores = {"cached": cached["test/linear_top1"], "published": published["test/probe_top1"]}
        rows.append({"cell": cell, "arm": arm, "seed": int(seed), **scores})
        print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def draw(file: Path = KEPT) -> str:
    """The table in Markdown: means and deviations over seeds, and the difference with its 95 % interval."""
    lines = [
        "Linear probes on the test split: mean ± standard deviation over seeds, and the difference with its 95 % interval.",
        "",
        "| runs | seeds | cached | published | published - cached |",
        "| --- | ---: | --- | --- | --- |",
    ]
    for (cell, arm), rows in pd.read_parquet(file).groupby(["cell", "arm"]):
        off = rows["published"] - rows["cached"]
        half = student.ppf(0.975, len(off) - 1) * off.std() / math.sqrt(len(off))
        means = " | ".join(f"{rows[name].mean():.3f} ± {rows[name].std():.3f}" for name in ("cached", "published"))
        around = f"{off.mean():+.3f} ({off.mean() - half:+.3f} to {off.mean() + half:+.3f})"
        lines.append(f"| {cell} {arm} | {len(rows)} | {means} | {around} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Read the command line, score, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=KEPT)
    options = parser.parse_args()
    measured(options.runs).to_parquet(options.to, index=False)
    print(draw(options.to), end="")


if __name__ == "__main__":
    main()
