"""The table of two probes over runs that differ by seed."""

from __future__ import annotations

import pandas as pd

from benchmarks.science.apart.probes import draw


def test_the_difference_is_taken_seed_by_seed_with_its_interval_where_there_are_several(tmp_path):
    scores = [("digits", "coke", seed, 0.9 + 0.01 * seed, 0.88 + 0.01 * seed) for seed in (1, 2, 3)]
    scores += [("digits", "two-views", 1, 0.9, 0.95)]
    pd.DataFrame(scores, columns=["cell", "arm", "seed", "cached", "published"]).to_parquet(tmp_path / "kept.parquet")
    assert draw(tmp_path / "kept.parquet").splitlines()[-2:] == [
        "| digits coke | 3 | 0.920 ± 0.010 | 0.900 ± 0.010 | -0.020 (-0.020 to -0.020) |",
        "| digits two-views | 1 | 0.900 | 0.950 | +0.050 |",
    ]
