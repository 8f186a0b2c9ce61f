"""Pictures of a comparison: they are drawn from what they are given, and show it on the right axes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tune.comparison.charts import SizeCurve, cluster_sizes, importance_bars, metric_by_key, needs_log


def inked(path):
    """Share of pixels that are not white."""
    with Image.open(path) as picture:
        return float((np.asarray(picture.convert("L")) < 250).mean())


@pytest.mark.parametrize(
    ("values", "log"),
    [
        ([0.001, 0.1], True), ([1, 2, 10], True), ([1, 9], False), ([0, 100], False), ([-1, 100], False),
        (["a", 10], False), ([True, 10], False),
    ],
)  # fmt: skip
def test_an_axis_is_logarithmic_where_positive_numbers_span_decades(values, log):
    assert needs_log(values) is log


@pytest.mark.parametrize(
    "values", [[0.001, 0.1, 0.1], [1, 2, 3], ["lars", "sgd", None], [[100, 200], 100, True], ["$\\bad$", "b" * 300]]
)
def test_any_values_can_be_drawn(tmp_path, values):
    metric_by_key("test/knn_top1", ["key"], [({"key": value}, 0.5) for value in values], tmp_path / "keys.png")
    assert inked(tmp_path / "keys.png") > 0.005


@pytest.mark.parametrize("keys", [1, 3, 4])
def test_there_is_a_chart_for_each_key(tmp_path, keys):
    names = [f"key{i}" for i in range(keys)]
    scored = [(dict.fromkeys(names, value), value / 10) for value in range(3)]
    metric_by_key("test/knn_top1", names, scored, tmp_path / "keys.png")
    with Image.open(tmp_path / "keys.png") as picture:
        columns, rows = min(keys, 3), -(-keys // 3)
        assert picture.size == (pytest.approx(462 * columns, abs=2), 330 * rows)


def test_longer_bars_for_more_important_keys(tmp_path):
    shares = []
    for share in (0.1, 0.9):
        importance_bars("test/knn_top1", {"n": share, "alpha": 0.0}, tmp_path / "bars.png")
        shares.append(inked(tmp_path / "bars.png"))
    assert shares[1] > shares[0] + 0.05


def test_cluster_sizes_show_the_best_settings_only(tmp_path):
    curve = SizeCurve(14.4, [0.0, 1.0], [0.0, 13.0], [200.0, 60.0])
    for count in (1, 6, 7):
        cluster_sizes({f"setting {i}": [curve, curve] for i in range(count)}, tmp_path / f"{count}.png")
    sizes = {}
    for count in (1, 6, 7):
        with Image.open(tmp_path / f"{count}.png") as picture:
            sizes[count] = picture.size
    assert sizes[1][0] < sizes[6][0]
    assert sizes[6] == sizes[7]
