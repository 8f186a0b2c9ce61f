"""Curves of two runs lie over one another."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pipelines.tracking.figures import EPOCH
from pipelines.tracking.mlflow_store import RunAddress
from tune.comparison.mlflow_runs import Record, find, read
from tune.comparison.two_runs.curves import curves_of, draw_curves

NAMES = ("one", "other")


def record(series):
    return Record(RunAddress("", "1", "0" * 32), "run", {}, "0", "finished", "", 1.0, {}, series)


def test_steps_become_epochs_so_that_batches_of_other_sizes_lie_over_one_another():
    large = record({EPOCH: {10: 0, 20: 1}, "train/loss": {5: 4.0, 10: 3.0, 20: 2.0}})
    small = record({EPOCH: {100: 0, 200: 1}, "train/loss": {50: 5.0, 150: 2.5}})
    curves = curves_of((large, small), NAMES)
    one, other = curves.points["train/loss"]
    assert (curves.axis, one.tolist(), other.tolist()) == ("epochs", [[0.5, 4.0], [1, 3.0], [2, 2.0]], [[0.5, 5.0], [1.5, 2.5]])


def test_figures_after_the_last_epochs_end_go_on_with_its_length():
    stopped = record({EPOCH: {10: 0, 30: 1}, "train/loss": {20: 3.0, 30: 2.0, 35: 1.5, 40: 1.0}})
    first = record({EPOCH: {10: 0}, "train/loss": {10: 3.0, 15: 2.0}})
    one, other = curves_of((stopped, first), NAMES).points["train/loss"]
    assert one.tolist() == [[1.5, 3.0], [2, 2.0], [2.25, 1.5], [2.5, 1.0]]  # 20 steps an epoch
    assert other.tolist() == [[1, 3.0], [1.5, 2.0]]


def test_figures_of_machines_are_no_curves_as_their_readings_are_no_steps(store):
    runs = [store.run(name, values=(0.4, 0.5)) for name in NAMES]
    for run in runs:
        store.client.log_metric(run, "system/cpu_utilization_percentage", 50.0, step=3)
        store.client.log_metric(run, "system/10.0.0.1/gpu_0_power_usage_watts", 50.0, step=3)
    found = find(runs, store.uri)
    curves = curves_of(read(found, sorted(found.names)), NAMES)
    assert (sorted(curves.sections), curves.notes) == (["progress", "test", "train"], [])


def test_without_epochs_steps_are_the_axis():
    curves = curves_of((record({"x": {3: 1.0}}), record({"x": {4: 2.0}, EPOCH: {4: 0}})), NAMES)
    assert (curves.axis, [part.tolist() for part in curves.points["x"]]) == ("steps", [[[3, 1.0]], [[4, 2.0]]])


def test_figures_of_one_run_alone_are_counted_and_named():
    mine = record({name: {1: 0.0} for name in ("a", "b", "c", "d", "e", "both")})
    curves = curves_of((mine, record({"both": {1: 0.0}, "z": {1: 0.0}, "empty": {}})), NAMES)
    assert list(curves.points) == ["both"]
    assert curves.notes == [
        "5 figures are of one alone and not drawn: a, b, c, d and 1 more", "1 figures are of other alone and not drawn: z",
    ]  # fmt: skip


def test_scores_come_first():
    names = ("clusters/x", "train/loss", "test/knn_top1", "val/knn_top1")
    both = record({name: {1: 0.0} for name in names})
    assert list(curves_of((both, both), NAMES).sections) == ["test", "val", "clusters", "train"]


@pytest.mark.parametrize("figures", [1, 4])
def test_each_figure_has_a_chart_with_both_runs(tmp_path, figures):
    points = np.array([[1.0, 0.1], [2.0, 0.4]])
    both = {f"test/$figure_{n}$": (points, points * [1, 2]) for n in range(figures)}
    draw_curves(both, "epochs", ("_one$", "two$"), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
        assert picture.width > (400 if figures == 1 else 1200)
    red, blue = pixels[..., 0], pixels[..., 2]
    assert (blue - red > 90).sum() > 100  # the one is blue
    assert (red - blue > 150).sum() > 100  # the other orange
