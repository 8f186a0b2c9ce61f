"""A promise of speed, memory or size, as `benchmarks/bars.yaml` holds it."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import UserError, nearest

ROOT = Path(__file__).parents[2]
BARS_FILE = ROOT / "benchmarks" / "bars.yaml"
FIGURE, WALL = "figure", "wall"
SECONDS = {"s": 1.0, "min": 60.0}


@dataclass(frozen=True)
class Bar:
    """One promise.

    Attributes:
        name: of the figure.
        what: is measured, in words.
        command: that measures it, run from the repository's root.
        unit: of the figure and the bound.
        at_least: the bound, or
        at_most: the bound from above.
        read: how the figure is read: `figure`, a line `figure NAME VALUE UNIT` of the output; `wall`, the time that the command
            took; or a regular expression whose only group is the number. The last one in the output counts.
        needs: modules that must be installed and paths that must exist; without them the bar is left out.
    """

    name: str
    what: str
    command: str
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    read: str = FIGURE
    needs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        if (self.at_least is None) == (self.at_most is None):
            raise UserError(f"bar {self.name} needs at_least or at_most, one of them")
        for key in ("at_least", "at_most"):
            if not isinstance(getattr(self, key), int | float | None):
                raise UserError(f"bar {self.name}: {key} is {getattr(self, key)!r}; give a number")
        if self.read == WALL and self.unit not in SECONDS:
            raise UserError(f"bar {self.name} reads a time; its unit is {self.unit!r} and must be {' or '.join(SECONDS)}")
        if self.read not in (FIGURE, WALL) and _groups(self.read) != 1:
            raise UserError(f"bar {self.name}: read is no {FIGURE}, no {WALL} and no regular expression with one group")

    @property
    def bound(self) -> str:
        """The bound as text."""
        sign, value = (">=", self.at_least) if self.at_least is not None else ("<=", self.at_most)
        return f"{sign} {spelled(value or 0.0, self.unit)}"

    def share(self, value: float) -> float:
        """How much of the bound a figure reaches; 1 or more is enough."""
        if self.at_least is not None:
            return value / self.at_least if self.at_least else float(value >= 0)
        return self.at_most / value if self.at_most and value > 0 else float(value <= (self.at_most or 0.0))

    def missing(self) -> list[str]:
        """What it needs and this machine lacks."""
        return [need for need in self.needs if not (Path(need).exists() if "/" in need else importlib.util.find_spec(need))]


def spelled(value: float, unit: str) -> str:
    """A figure with its unit."""
    number = f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.3g}"
    return f"{number}x" if unit == "x" else f"{number} {unit}"


def _groups(pattern: str) -> int:
    try:
        return re.compile(pattern).groups
    except re.error:
        return 0


def load_bars(path: Path = BARS_FILE) -> dict[str, Bar]:
    """The bars of a file, by name.

    Raises:
        UserError: naming the bar and the key that is wrong.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no bars by name")
    return {name: _bar(name, keys) for name, keys in content.items()}


def _bar(name: str, keys: Any) -> Bar:
    known = {field.name: field for field in fields(Bar) if field.name != "name"}
    if not isinstance(keys, dict):
        raise UserError(f"bar {name} holds no keys")
    for key in keys:
        if key not in known:
            raise UserError(f"bar {name} has an unknown key {key!r}{nearest(str(key), known)}")
    required = [key for key, one in known.items() if one.default is MISSING and one.default_factory is MISSING]
    for key in required:
        if not isinstance(keys.get(key), str):
            raise UserError(f"bar {name} lacks the text of its key {key!r}")
    return Bar(name, **keys)


def chosen(bars: dict[str, Bar], names: Sequence[str]) -> list[Bar]:
    """The named ones, or all.

    Raises:
        UserError: for a name that is none.
    """
    for name in names:
        if name not in bars:
            raise UserError(f"no bar is called {name!r}{nearest(name, bars)}")
    return [bars[name] for name in names or bars]
