"""The default step of the duals beside others: what a pass is scored by, which step is best, and the table of that."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from benchmarks.science.apart.dual_steps import best_steps, draw, last_pass

SETTING = {"data": "lumps", "rows": 600, "dim": 8, "clusters": 30, "ratio": 0.4, "batch": 32}


def test_without_a_step_to_speak_of_clusters_lack_rows_and_at_the_default_fewer():
    generator = torch.Generator().manual_seed(0)
    near = torch.ones(570, 8) + 0.05 * torch.randn(570, 8, generator=generator)
    rows = F.normalize(torch.cat([near, torch.randn(30, 8, generator=generator)]), dim=1)
    timid, default = (last_pass(rows, clusters=20, ratio=0.8, batch=32, factor=factor) for factor in (1e-6, 1.0))
    assert timid["missing"] > 0.2
    assert default["missing"] < timid["missing"] / 2
    assert default["similarity"] < timid["similarity"] <= 1 + 1e-6


def test_the_best_step_keeps_the_bounds_before_it_is_more_similar():
    found = pd.DataFrame([
        SETTING | {"factor": 0.25, "missing": 0.10, "similarity": 0.95},
        SETTING | {"factor": 1.0, "missing": 0.00, "similarity": 0.90},
        SETTING | {"factor": 4.0, "missing": 0.01, "similarity": 0.92},
    ])  # fmt: skip
    assert best_steps(found)["factor"].tolist() == [4.0]
    none_keeps = found.assign(missing=[0.10, 0.30, 0.20])
    assert best_steps(none_keeps)["factor"].tolist() == [0.25]


def test_the_table_has_a_line_for_each_number_of_clusters_and_batch(tmp_path):
    rows = [
        SETTING | {"ratio": ratio, "batch": batch, "factor": factor, "missing": 0.0, "similarity": 0.9 - 0.01 * factor}
        for ratio in (0.1, 0.4, 0.8, 1.0) for batch in (32, 128, 512) for factor in (0.25, 1.0)
    ]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "kept.parquet")
    lines = draw(tmp_path / "kept.parquet").splitlines()
    assert "lumps, 600 rows of 8 numbers:" in lines
    assert [line for line in lines if line.startswith("| 30 |")] == [
        f"| 30 | {batch} |" + f" 0.0 %, {0.89 / 0.8975:.3f}, 0.25x |" * 4 for batch in (32, 128, 512)
    ]


@pytest.mark.parametrize("ratio", [0.1, 1.0])
def test_a_pass_is_the_same_each_time(ratio):
    rows = F.normalize(torch.randn(200, 4, generator=torch.Generator().manual_seed(3)), dim=1)
    assert last_pass(rows, 8, ratio, 32, 1.0) == last_pass(rows, 8, ratio, 32, 1.0)
