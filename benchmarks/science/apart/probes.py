"""The linear probe of papers, on augmented images, against the cached one of `quorum evaluate`, over runs that differ by seed.

Run from the repository's root: `python -m benchmarks.science.apart.probes RUNS...`, folders called STUDY.CELL.ARM.SEED;
`python -m benchmarks.science table probes` draws the table.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

import quorum
from benchmarks.science.table import difference_of, markdown, mean_of
from tune.comparison.significance import Setting

NAME = "probes"
KEPT = Path("docs/science/probes.parquet")


def scores_of(run: Path) -> dict[str, str | int | float]:
    """Both scores of a run on its test split."""
    _, cell, arm, seed = run.name.split(".")
    cached, published = quorum.evaluate(run), quorum.probe(run=run).scores
    scores = {"cached": float(cached["test/linear_top1"]), "published": float(published["test/probe_top1"])}
    return {"cell": cell, "arm": arm, "seed": int(seed), **scores}


def draw(file: Path = KEPT) -> str:
    """The table in Markdown: means and deviations over seeds, and the difference with its 95 % interval."""
    rows = []
    for (cell, arm), found in pd.read_parquet(file).groupby(["cell", "arm"]):
        cached, published = (Setting({}, tuple(found[name])) for name in ("cached", "published"))
        off = Setting({}, tuple(found["published"] - found["cached"]))
        rows.append([f"{cell} {arm}", f"{off.seeds}", mean_of(cached), mean_of(published), difference_of(off)])
    caption = "Linear probes on the test split: mean ± standard deviation over seeds, and the difference with its 95 % interval."
    return f"{caption}\n\n{markdown(['runs', 'seeds', 'cached', 'published', 'published - cached'], rows)}\n"


def main() -> None:
    """Read the command line, score, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--to", type=Path, default=KEPT)
    options = parser.parse_args()
    scores = []
    for run in options.runs:
        scores.append(scores_of(run))
        pd.DataFrame(scores).to_parquet(options.to, index=False)  # after each: the next takes minutes
    print(draw(options.to), end="")


if __name__ == "__main__":
    main()
