"""Figures of matplotlib as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.files.location import Location

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


def plain_text(text: str, most: int | None = None) -> str:
    """Text in which matplotlib sees no formula, shortened where it has more than so many letters."""
    shown = text if most is None or len(text) <= most else f"{text[: most - 3]}..."
    return shown.replace("$", "\\$")


def write_picture(figure: Figure, path: Path, *, dpi: float | str = DPI) -> None:
    """Draw a figure into a PNG file, which is whole or as it was."""
    with Location.of(path).written() as file:
        figure.savefig(file, dpi=dpi, format="png")
