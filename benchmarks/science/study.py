"""What a study is: cells, arms, seeds and the score, and the runs that it asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from pipelines.errors import UserError, nearest


@dataclass(frozen=True)
class Score:
    """A run's score: the mean of a figure over its last epochs."""

    figure: str
    last: int = 1


@dataclass(frozen=True)
class Cell:
    """A data set in one setting: a column of the table.

    Attributes:
        recipe: name or path of the recipe.
        data: folder of the shards, below that of all data sets.
        settings: by dotted keys of the recipe.
        per_class: labels of a class; null for a study without labels.
        at_most: take all labels of a class that has fewer.
        of_arms: settings of an arm in this cell.
        seeds: in place of the study's.
    """

    recipe: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict)
    per_class: int | None = None
    at_most: bool = False
    of_arms: dict[str, dict[str, Any]] = field(default_factory=dict)
    seeds: list[int] | None = None

    @property
    def labels(self) -> str:
        """File of the labels that a run sees, below the folder of all data sets, with a place for the seed."""
        return f"{self.data}-labels/per-class-{'at-most-' if self.at_most else ''}{self.per_class}-seed-{{seed}}.json"


@dataclass(frozen=True)
class Origin:
    """The run of another study that an arm starts from.

    Attributes:
        study: its study.
        arm: its arm.
        cell: its cell; null takes the one of the same data.
        seed: its seed; null takes the run's own.
    """

    study: str
    arm: str
    cell: str | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Arm:
    """What is compared: a row of the table."""

    settings: dict[str, Any]
    origin: Origin | None = None


@dataclass(frozen=True)
class Pair:
    """Two arms that are compared seed by seed."""

    title: str
    arm: str
    against: str


@dataclass(frozen=True)
class Planned:
    """A run that a study asks for: an arm in a cell with a seed."""

    study: str
    cell: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Of its folder, and in MLflow."""
        return f"{self.study}.{self.cell}.{self.arm}.{self.seed}"

    @property
    def tags(self) -> dict[str, str]:
        """For MLflow."""
        return {f"quorum.{part.name}": str(getattr(self, part.name)) for part in fields(self)}


@dataclass(frozen=True)
class Study:
    """A study.

    Attributes:
        name: of the study.
        title: of its table.
        command: that trains its runs, `pretrain` or `semisup`.
        score: of a run.
        seeds: of the runs, and of their labels.
        cells: by name, the columns of the table.
        arms: by name, its rows.
        settings: of all runs, by dotted keys of the recipe.
        pairs: of arms, compared below the table.
    """

    name: str
    title: str
    command: str
    score: Score
    seeds: list[int]
    cells: dict[str, Cell]
    arms: dict[str, Arm]
    settings: dict[str, Any] = field(default_factory=dict)
    pairs: list[Pair] = field(default_factory=list)

    def seeds_of(self, cell: str) -> list[int]:
        """The seeds of a cell's runs."""
        return self.cells[cell].seeds or self.seeds

    def settings_of(self, run: Planned) -> dict[str, Any]:
        """What a run sets over its recipe, by dotted keys."""
        cell = self.cells[run.cell]
        return {**self.settings, **cell.settings, **self.arms[run.arm].settings, **cell.of_arms.get(run.arm, {})}

    def runs(
        self, cells: Sequence[str] | None = None, arms: Sequence[str] | None = None, seeds: Sequence[int] | None = None
    ) -> list[Planned]:
        """The runs of the chosen cells, arms and seeds, all where none are chosen: seed by seed, so that early ends are fair.

        Raises:
            UserError: for a name that the study does not have, or a seed that no chosen cell has.
        """
        chosen = [name for name in cells or self.cells if known(name, self.cells, f"study {self.name}: cell")]
        compared = [name for name in arms or self.arms if known(name, self.arms, f"study {self.name}: arm")]
        have = dict.fromkeys(seed for cell in chosen for seed in self.seeds_of(cell))
        if strange := [seed for seed in seeds or () if seed not in have]:
            raise UserError(f"study {self.name} has no seed {strange[0]} there; its seeds are {', '.join(map(str, have))}")
        return [
            Planned(self.name, cell, arm, seed)
            for seed in seeds or have for cell in chosen if seed in self.seeds_of(cell) for arm in compared
        ]  # fmt: skip


def known(name: str, names: Iterable[str], what: str) -> bool:
    """True for a name that is one of `names`.

    Raises:
        UserError: for another, with the nearest.
    """
    names = list(names)
    if name not in names:
        raise UserError(f"{what} {name!r} is unknown{nearest(str(name), names)}; there is {', '.join(map(str, names))}")
    return True
