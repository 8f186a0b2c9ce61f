"""Pictures of a method with classes: its prototypes, and what the clusters change in its pseudo-labels."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import confusion_matrix

MOST_NAMES = 30  # more do not fit beside an axis
Change = tuple[bytes, str, str, str]  # image, classifier's class, refined class, true class


def prototype_similarities(prototypes: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Cosine similarity of every pair of class prototypes (C, D), as a heat map."""
    figure = Figure(figsize=(5.5, 4.6), layout="constrained")
    ax = figure.subplots()
    image = ax.imshow(prototypes @ prototypes.T, vmin=-1, vmax=1, cmap="RdBu_r")
    figure.colorbar(image, ax=ax)
    _name_classes(ax, classes)
    ax.set(title="similarity of the class prototypes")
    figure.savefig(path, dpi=110)


def confusions(truth: np.ndarray, raw: np.ndarray, refined: np.ndarray, classes: Sequence[str], path: Path) -> None:
    """Pseudo-labels against the truth, of the classifier alone and refined by the clusters; a row is a true class."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    for ax, name, guess in zip(figure.subplots(1, 2), ("classifier alone", "refined by clusters"), (raw, refined), strict=True):
        table = confusion_matrix(truth, guess, labels=range(len(classes)), normalize="true")
        ax.imshow(table, vmin=0, vmax=1, cmap="Blues")
        _name_classes(ax, classes)
        ax.set(title=f"{name}: {np.mean(truth == guess):.1%} right", xlabel="pseudo-label", ylabel="true class")
    figure.savefig(path, dpi=110)


def _name_classes(ax: Axes, classes: Sequence[str]) -> None:
    if len(classes) <= MOST_NAMES:
        ax.set_xticks(range(len(classes)), classes, rotation=90, fontsize=7)
        ax.set_yticks(range(len(classes)), classes, fontsize=7)


def change_sheet(changes: Sequence[Change], path: Path, columns: int = 8) -> None:
    """Images whose pseudo-label the clusters changed: `classifier > refined`, green where that is right, red where it was."""
    rows = max(-(-len(changes) // columns), 1)
    figure = Figure(figsize=(columns * 1.15, rows * 1.45), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes:
        ax.axis("off")
    for ax, (encoded, raw, refined, true) in zip(axes[: len(changes)], changes, strict=True):
        ax.imshow(np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB")))
        colour = "tab:green" if refined == true else "tab:red" if raw == true else "black"
        ax.set_title(f"{raw} > {refined}\n({true})", fontsize=6, color=colour)
    figure.savefig(path, dpi=130)
