"""Pictures of a run: cluster sizes, images per cluster, curves. Drawn off the training's path."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

mpl.use("Agg")


def cluster_size_histogram(counts: Sequence[np.ndarray], min_sizes: Sequence[float], path: Path) -> None:
    """Sorted cluster sizes of each head against its minimum.

    Args:
        counts: (K,) rows of each cluster, per head.
        min_sizes: gamma of each head.
        path: PNG to write.
    """
    figure = Figure(figsize=(5 * len(counts), 3.2), layout="constrained")
    axes = figure.subplots(1, len(counts), squeeze=False)[0]
    for index, (ax, sizes, least) in enumerate(zip(axes, counts, min_sizes, strict=True)):
        ax.plot(np.sort(sizes)[::-1], drawstyle="steps-mid", color="tab:blue")
        ax.axhline(least, color="tab:red", linewidth=1, linestyle="--", label=f"minimum {least:.1f}")
        ax.set(title=f"head {index}: {len(sizes)} clusters", xlabel="cluster, by size", ylabel="images", ylim=(0, None))
        ax.legend(frameon=False)
    figure.savefig(path, dpi=110)


def choose_clusters(counts: np.ndarray, most: int, seed: int) -> list[int]:
    """Clusters to look at: some of the largest, some of the smallest that are not empty, and others at random."""
    filled = np.flatnonzero(counts)
    by_size = filled[np.argsort(-counts[filled], kind="stable")]
    if len(by_size) <= most:
        return [int(k) for k in by_size]
    third = most // 3
    largest, middle, smallest = np.split(by_size, [third, len(by_size) - third])
    places = np.sort(np.random.default_rng(seed).choice(len(middle), most - 2 * third, replace=False))
    return [int(k) for k in [*largest, *middle[places], *smallest]]


def cluster_sheet(images: Mapping[int, Sequence[bytes]], counts: np.ndarray, path: Path, tile: int = 56) -> None:
    """A row of images for each cluster.

    Args:
        images: encoded images of each cluster to show.
        counts: (K,) sizes, for the captions.
        path: PNG to write.
        tile: px of an image on the sheet.
    """
    columns = max((len(row) for row in images.values()), default=1)
    height = max(len(images), 1) * 0.62 + 0.5
    figure = Figure(figsize=(columns * 0.62 + 1.6, height), layout="constrained")
    axes = figure.subplots(max(len(images), 1), columns, squeeze=False, gridspec_kw={"wspace": 0.04, "hspace": 0.04})
    for ax in axes.flat:
        ax.axis("off")
    for row, (cluster, encoded) in zip(axes[: len(images)], images.items(), strict=True):
        label = f"#{cluster}\n{counts[cluster]} images"
        row[0].text(-0.15, 0.5, label, transform=row[0].transAxes, ha="right", va="center", fontsize=7)
        for ax, image in zip(row[: len(encoded)], encoded, strict=True):
            picture = Image.open(io.BytesIO(image)).convert("RGB")
            ax.imshow(
                np.asarray(
                    picture.resize((tile, tile), Image.Resampling.NEAREST if picture.width < tile else Image.Resampling.BILINEAR)
                )
            )
    figure.savefig(path, dpi=130)


def curves(series: Mapping[str, Sequence[tuple[int, float]]], path: Path) -> None:
    """One small chart per figure over epochs, as (epoch, value) pairs."""
    shown = {name: points for name, points in series.items() if points}
    columns = min(3, max(len(shown), 1))
    rows = max(-(-len(shown) // columns), 1)
    figure = Figure(figsize=(4 * columns, 2.5 * rows), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax, (name, points) in zip(axes[: len(shown)], shown.items(), strict=True):
        ax.plot(*zip(*points, strict=True), marker=".", color="tab:blue")
        ax.set(title=name, xlabel="epoch")
        ax.grid(alpha=0.3)
    for ax in axes[len(shown) :]:
        ax.axis("off")
    figure.savefig(path, dpi=110)
