"""Pictures of a method with classes: its prototypes, and what the clusters change in its pseudo-labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix

from pipelines.files.pictures import plain_text, write_picture
from pipelines.tracking.cluster_pictures import TILE, mosaic, show_mosaic

MOST_NAMES = 30  # more do not fit beside an axis
MOST_LETTERS = 16  # of a name, above an image
Change = tuple[bytes, str, str, str]  # image, classifier's class, refined class, true class


def prototype_similarities(prototypes: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Cosine similarity of every pair of class prototypes (C, D), as a heat map."""
    figure = Figure(figsize=(5.5, 4.6), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(prototypes @ prototypes.T, vmin=-1, vmax=1, cmap="RdBu_r")
    figure.colorbar(image, ax=ax)
    _name_classes(ax, classes)
    ax.set(title="similarity of the class prototypes")
    write_picture(figure, path)


def confusions(truth: np.ndarray, raw: np.ndarray, refined: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Pseudo-labels against the truth, of the classifier alone and refined by the clusters; a row is a true class."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for ax, name, guess in zip(figure.subplots(1, 2), ("classifier alone", "refined by clusters"), (raw, refined), strict=True):
        table = confusion_matrix(truth, guess, labels=range(len(classes)), normalize="true")
        ax.imshow(table, vmin=0, vmax=1, cmap="Blues")
        _name_classes(ax, classes)
        ax.set(title=f"{name}: {np.mean(truth == guess):.1%} right", xlabel="pseudo-label", ylabel="true class")
    write_picture(figure, path)


def _name_classes(ax: Axes, classes: Sequence[str]) -> None:
    if len(classes) <= MOST_NAMES:
        ax.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
        ax.set_yticks(range(len(classes)), classes, fontsize=7)


def change_sheet(changes: Sequence[Change], path: Path, columns: int = 8) -> None:
    """Images whose pseudo-label the clusters changed: `classifier > refined`, green where that is right, red where it was."""
    rows = [[encoded for encoded, *_ in changes[start : start + columns]] for start in range(0, len(changes), columns)]
    gap, above = TILE // 2, TILE // 2  # room for the names
    figure, ax = show_mosaic(mosaic(rows, columns, gap=gap, above=above))
    for place, (_, raw, refined, true) in enumerate(changes):
        y, x = divmod(place, columns)
        colour = "tab:green" if refined == true else "tab:red" if raw == true else "black"
        middle, top = x * (TILE + gap) + TILE / 2, y * (above + TILE + gap) + above - 3
        ax.text(middle, top, f"{raw} > {refined}\n({true})", ha="center", va="bottom", fontsize=6, color=colour)
    write_picture(figure, path, dpi="figure")


def named_sheet(images: Sequence[tuple[bytes, str]], path: Path, columns: int = 8) -> None:
    """Images in the order of a list, each with its place there, from 1, and the end of its name."""
    rows = [[encoded for encoded, _ in images[start : start + columns]] for start in range(0, len(images), columns)]
    gap, above = TILE // 2, TILE // 2  # room for the names
    figure, ax = show_mosaic(mosaic(rows, columns, gap=gap, above=above))
    for place, (_, name) in enumerate(images):
        y, x = divmod(place, columns)
        middle, top = x * (TILE + gap) + TILE / 2, y * (above + TILE + gap) + above - 3
        shown = name if len(name) <= MOST_LETTERS else f"...{name[-MOST_LETTERS:]}"
        ax.text(middle, top, f"{place + 1}\n{plain_text(shown)}", ha="center", va="bottom", fontsize=6)
    write_picture(figure, path, dpi="figure")
