"""The curves of two runs over one another, by the figures that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pipelines.files.pictures import plain_text, write_picture
from pipelines.tracking.figures import EPOCH, EVALUATE, TEST, VAL
from tune.comparison.mlflow_runs import Record

mpl.use("Agg")
COLOURS = ("tab:blue", "tab:orange")
MOST_LETTERS = 60  # of a run's name; a space stands before it, as legends leave out names that begin with _
MOST_MARKED = 50  # points of a line
SHOWN = 4  # figures that are named in a sentence
FIRST = (VAL, TEST, EVALUATE)  # sections, before the others
EPOCHS, STEPS = "epochs", "steps"


@dataclass(frozen=True)
class Curves:
    """Figures of both runs.

    Attributes:
        axis: what they are drawn over, epochs or steps.
        points: by the figure's name, (P, 2) of each run: place on the axis and value.
        notes: sentences on figures of one run alone.
    """

    axis: str
    points: dict[str, tuple[np.ndarray, np.ndarray]]
    notes: list[str]

    @property
    def sections(self) -> dict[str, list[str]]:
        """Names of the figures by the section that they are of, scores first."""
        found: dict[str, list[str]] = {}
        for name in self.points:
            found.setdefault(name.partition("/")[0], []).append(name)
        return {name: found[name] for name in sorted(found, key=lambda name: (name not in FIRST, name))}


def curves_of(records: Sequence[Record], names: Sequence[str]) -> Curves:
    """The curves of two runs; over epochs where both count them, so that batches of other sizes lie over one another."""
    first, second = records
    over_epochs = all(record.series.get(EPOCH) for record in records)
    having = [{name for name in record.series if record.series[name] and name != EPOCH} for record in records]
    drawn = {
        name: (_points(first, name, over_epochs), _points(second, name, over_epochs)) for name in sorted(having[0] & having[1])
    }
    return Curves(EPOCHS if over_epochs else STEPS, drawn, _alone(having, names))


def _points(record: Record, name: str, over_epochs: bool) -> np.ndarray:
    steps, values = (np.array(list(part), float) for part in (record.series[name], record.series[name].values()))
    return np.stack([record.epochs_at(steps) if over_epochs else steps, values], axis=1)


def _alone(having: Sequence[set[str]], names: Sequence[str]) -> list[str]:
    said = []
    for mine, theirs, name in ((having[0], having[1], names[0]), (having[1], having[0], names[1])):
        if alone := sorted(mine - theirs):
            more = f" and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
            said.append(f"{len(alone)} figures are of {name} alone and not drawn: {', '.join(alone[:SHOWN])}{more}")
    return said


def draw_curves(points: Mapping[str, tuple[np.ndarray, np.ndarray]], axis: str, names: Sequence[str], path: Path) -> None:
    """A small chart for each figure, both runs over one another.

    Args:
        points: as `Curves` has them.
        axis: what they are drawn over.
        names: of the runs.
        path: PNG to write.
    """
    columns = min(3, len(points))
    rows = -(-len(points) // columns)
    width, height = 4.2 * columns, 2.6 * rows + 0.6  # inches; margins by hand, as laying out dozens of charts takes seconds
    figure = Figure(figsize=(width, height))
    edges = {"left": 0.7 / width, "right": 1 - 0.15 / width, "bottom": 0.6 / height, "top": 1 - 0.7 / height}
    axes = list(figure.subplots(rows, columns, squeeze=False, gridspec_kw=edges | {"wspace": 0.22, "hspace": 0.35}).flat)
    for ax, (title, both) in zip(axes[: len(points)], points.items(), strict=True):
        for run, colour, name in zip(both, COLOURS, names, strict=True):
            label = f" {plain_text(name, MOST_LETTERS)}"
            ax.plot(*run.T, marker="." if len(run) < MOST_MARKED else None, color=colour, alpha=0.8, label=label)
        ax.set_title(plain_text(title), fontsize=9)
        ax.grid(alpha=0.3)
    for ax in axes[len(points) :]:
        ax.axis("off")
    figure.supxlabel(axis, fontsize=9, y=0.1 / height)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="upper center", ncols=2, frameon=False)
    write_picture(figure, path)
