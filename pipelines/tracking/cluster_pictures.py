"""Pictures of a run: cluster sizes, images per cluster, curves. Drawn off the training's path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from pipelines.files.pictures import write_picture
from pipelines.views.crops import thumbnail

mpl.use("Agg")
DPI = 130
GREY = (128, 128, 128)
TILE, GAP = 72, 4  # px of an image on a sheet, and between two


def cluster_size_histogram(counts: Sequence[np.ndarray], bounds: Sequence[tuple[float, float]], path: Path) -> None:
    """Sorted cluster sizes of each head against its bounds.

    Args:
        counts: (K,) rows of each cluster, per head.
        bounds: least and greatest size of a cluster, per head; infinity where there is no greatest.
        path: PNG to write.
    """
    figure = Figure(figsize=(5 * len(counts), 3.2), layout="constrained")
    axes = figure.subplots(1, len(counts), squeeze=False)[0]
    for index, (ax, sizes, (least, most)) in enumerate(zip(axes, counts, bounds, strict=True)):
        ax.plot(np.sort(sizes)[::-1], drawstyle="steps-mid", color="tab:blue")
        ax.axhline(least, color="tab:red", linewidth=1, linestyle="--", label=f"minimum {least:.1f}")
        if most < np.inf:
            ax.axhline(most, color="tab:red", linewidth=1, linestyle=":", label=f"maximum {most:.1f}")
        ax.set(title=f"head {index}: {len(sizes)} clusters", xlabel="cluster, by size", ylabel="images", ylim=(0, None))
        ax.legend(frameon=False)
    write_picture(figure, path)


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


def mosaic(rows: Sequence[Sequence[bytes | None]], columns: int, *, gap: int = GAP, above: int = 0) -> np.ndarray:
    """Encoded images in rows of `columns` places of `TILE` px on white, as one picture (height, width, 3) uint8.

    One picture, because a chart of a hundred small ones takes seconds to lay out. `gap` px lie to the right of and below each,
    `above` px over it. A place without an image stays white.
    """
    step, line = TILE + gap, above + TILE + gap
    canvas = Image.new("RGB", (columns * step, max(len(rows), 1) * line), "white")
    for y, row in enumerate(rows):
        for x, encoded in enumerate(row):
            if encoded is None:
                continue
            picture = _shown(encoded)
            smooth = Image.Resampling.NEAREST if picture.width < TILE else Image.Resampling.BILINEAR
            canvas.paste(ImageOps.pad(picture, (TILE, TILE), smooth, color="white"), (x * step, y * line + above))
    return np.asarray(canvas)


def _shown(encoded: bytes) -> Image.Image:
    """The picture, or a grey one of what cannot be decoded: images that are used in place were never looked at."""
    try:
        return thumbnail(encoded, TILE).convert("RGB")
    except Exception:  # codecs raise what they like
        return Image.new("RGB", (TILE, TILE), GREY)


def show_mosaic(picture: np.ndarray) -> tuple[Figure, Axes]:
    """A figure of the picture alone, at its own resolution; ticks may be added."""
    height, width = picture.shape[:2]
    figure = Figure(figsize=(width / DPI + 1.0, height / DPI + 0.3), layout="constrained", dpi=DPI)
    ax = figure.subplots()
    ax.imshow(picture, interpolation="none")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)
    return figure, ax


def cluster_sheet(images: Mapping[int, Sequence[bytes]], counts: np.ndarray, path: Path) -> None:
    """A row of images for each cluster.

    Args:
        images: encoded images of each cluster to show.
        counts: (K,) sizes, for the captions.
        path: PNG to write.
    """
    figure, ax = show_mosaic(mosaic(list(images.values()), max((len(row) for row in images.values()), default=1)))
    places = np.arange(len(images)) * (TILE + GAP) + TILE / 2
    ax.set_yticks(places, [f"#{cluster}\n{counts[cluster]} images" for cluster in images], fontsize=7)
    ax.tick_params(length=0)
    write_picture(figure, path, dpi="figure")


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
    write_picture(figure, path)
