"""Pictures of a comparison: the metric against each searched key, which keys matter, cluster sizes over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipelines.files.pictures import plain_text, write_picture
from tune.comparison.significance import is_numeric
from tune.points import labels_of

mpl.use("Agg")

MOST_SETTINGS = 6  # of cluster-size charts, best first
MOST_LETTERS = 24  # of a value below an axis
DECADES = 10.0  # largest to smallest value from which an axis is logarithmic


@dataclass(frozen=True)
class SizeCurve:
    """Cluster sizes of a run's first head: its minimum, and the epochs with the smallest and the largest cluster of each."""

    least: float
    epochs: Sequence[float]
    smallest: Sequence[float]
    largest: Sequence[float]


def metric_by_key(metric: str, keys: Sequence[str], scored: Sequence[tuple[Mapping[str, Any], float]], path: Path) -> None:
    """A chart for each key: every run's score as a point, and the mean of each value as a line.

    Args:
        metric: what the scores are.
        keys: searched keys.
        scored: point and score of each run.
        path: PNG to write.
    """
    figure, axes = _grid(len(keys))
    for ax, key in zip(axes, keys, strict=True):
        values = [point.get(key) for point, _ in scored]
        scores = np.array([score for _, score in scored])
        places = _axis(ax, values)
        different = np.unique(places)
        means = [scores[places == place].mean() for place in different]
        ax.plot(places, scores, ".", color="tab:blue", alpha=0.6)
        ax.plot(different, means, "-", color="tab:orange", label="mean")
        ax.set(xlabel=plain_text(key), ylabel=plain_text(metric))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, loc="lower right")
    write_picture(figure, path)


def needs_log(values: Sequence[Any]) -> bool:
    """Whether numbers span decades and are best seen on a logarithmic axis."""
    return is_numeric(values) and min(values) > 0 and max(values) >= DECADES * min(values)


def _axis(ax: Axes, values: Sequence[Any]) -> np.ndarray:
    """Where each value lies, with ticks and scale for it."""
    places, names = places_of(values)
    if names:
        shown = [plain_text(name, MOST_LETTERS) for name in names]
        ax.set_xticks(range(len(names)), shown, rotation=20 if max(map(len, shown)) > 8 else 0, fontsize=8)
    elif needs_log(values):
        ax.set_xscale("log")
    return places


def places_of(values: Sequence[Any]) -> tuple[np.ndarray, list[str]]:
    """Places (V,) of values on an axis, and the names of the places 0, 1, ... where the values are not all numbers."""
    if is_numeric(values):
        return np.array(values, dtype=float), []
    labels = labels_of(values)
    names = sorted(set(labels))
    return np.array([names.index(label) for label in labels], dtype=float), names


def importance_bars(metric: str, shares: Mapping[str, float], path: Path) -> None:
    """A bar for each key, the longest on top."""
    order = sorted(shares, key=lambda key: shares[key])
    figure = Figure(figsize=(6, 1.2 + 0.35 * len(order)), layout="constrained")
    ax = figure.subplots()
    ax.barh(order, [shares[key] for key in order], color="tab:blue")
    ax.set(xlim=(0, 1), xlabel=f"share of the variance of {metric} that the key explains alone")
    write_picture(figure, path)


def cluster_sizes(curves: Mapping[str, Sequence[SizeCurve]], path: Path) -> None:
    """A chart for each setting: its smallest and largest cluster against the minimum, over the epochs of each of its runs."""
    shown = dict(list(curves.items())[:MOST_SETTINGS])
    figure, axes = _grid(len(shown), shared=True)
    for ax, (label, runs) in zip(axes, shown.items(), strict=True):
        for index, run in enumerate(runs):
            names = ("largest", "smallest", "minimum") if index == 0 else (None, None, None)
            ax.plot(run.epochs, run.largest, color="tab:orange", alpha=0.7, label=names[0])
            ax.plot(run.epochs, run.smallest, color="tab:blue", alpha=0.7, label=names[1])
            ax.axhline(run.least, color="tab:red", linestyle="--", linewidth=1, label=names[2])
        ax.set_yscale("symlog", linthresh=1)  # a cluster may be empty
        ax.set_ylim(bottom=0)
        ax.set_title(plain_text(label), fontsize=8)
        ax.grid(alpha=0.3)
    axes[0].legend(frameon=False, fontsize=8, loc="upper right")
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel("images of a cluster", fontsize=9)
    if left_out := len(curves) - len(shown):
        figure.suptitle(f"the {MOST_SETTINGS} best settings; {left_out} more are not shown", fontsize=9)
    write_picture(figure, path)


def _grid(charts: int, *, shared: bool = False) -> tuple[Figure, list[Axes]]:
    """A figure with as many axes as charts; what is left of its last row stays blank."""
    columns = min(3, charts)
    rows = -(-charts // columns)
    figure = Figure(figsize=(4.2 * columns, 3.0 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, sharex=shared, sharey=shared).flat)
    for ax in axes[charts:]:
        ax.axis("off")
    return figure, axes[:charts]
