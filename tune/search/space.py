"""Search spaces: which keys vary over which values, and the settings that make a point of the space.

A key is one of the recipe's (`optimizer.lr`), or a short name of what the papers vary:

| name | sets |
|---|---|
| `ratio` | `method.min_size_ratio` |
| `K` | `method.num_clusters`: one head of so many clusters, or a list of heads |
| `n` | `method.num_clusters`: one head of N / n clusters, n instances wanted in each |
| `gamma` | `method.min_size_ratio` from the absolute minimum gamma, with K or n or the recipe's clusters: gamma K / N |
| `alpha` | `method.refine_weight` of ProtoCon, `method.label_weight` of CoKe |
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipelines.config.old_configs import new_spelling
from pipelines.errors import UserError, nearest
from pipelines.secrets import without_secrets
from tune.points import identity

Point = dict[str, Any]
AXIS_KINDS = ("grid", "choice", "uniform", "loguniform", "integers")
SHORT = {
    "ratio": "method.min_size_ratio", "gamma": "method.min_size_ratio", "K": "method.num_clusters", "n": "method.num_clusters",
}  # fmt: skip
LARGEST = 1e18  # bound, which integers of 64 bits and differences of floats hold
DRAWS = 100  # for each point that is asked for, in which a small space comes to all of its own
COUNTS = {"n", "K", "gamma"}  # names that are counted with
ALPHA = {"pretrain": "method.label_weight", "semisup": "method.refine_weight"}


@dataclass(frozen=True)
class Axis:
    """One searched key: `grid` and `choice` over listed values, `uniform`, `loguniform` and `integers` between two bounds."""

    key: str
    kind: str
    values: list[Any]

    @classmethod
    def parse(cls, key: str, spec: Any) -> Axis:
        """An axis from a recipe's `key: {kind: values}`.

        Raises:
            UserError: for an unknown kind, no values, or bounds that are none.
        """
        if not isinstance(spec, Mapping) or len(spec) != 1:
            raise UserError(f"space.{key} is {spec!r}; give one of {', '.join(AXIS_KINDS)} with its values, as {{grid: [1, 2]}}")
        ((kind, values),) = spec.items()
        if kind not in AXIS_KINDS:
            if isinstance(values, Mapping):
                raise UserError(f"space.{key} is a section; write its keys with dots, as {key}.{kind}")
            raise UserError(
                f"space.{key}: unknown kind {kind!r}{nearest(str(kind), AXIS_KINDS)}; choose one of {', '.join(AXIS_KINDS)}"
            )
        if not isinstance(values, list) or not values:
            raise UserError(f"space.{key}.{kind} is {values!r}; give a list of values")
        if without_secrets(values) != values:
            raise UserError(
                f"space.{key}.{kind} has an address with a key or a password, which would stand in the names and records of "
                "trials; give it without, and what it holds by the environment"
            )
        if kind not in ("grid", "choice"):
            _check_bounds(f"space.{key}.{kind}", kind, values)
        elif len({identity({key: value}) for value in values}) < len(values):
            raise UserError(f"space.{key}.{kind} is {values}, which names a value twice; keep it once")
        return cls(key, kind, values)

    @property
    def size(self) -> float:
        """How many values there are."""
        if self.kind in ("grid", "choice"):
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if self.kind == "integers" else math.inf

    def draw(self, generator: np.random.Generator) -> Any:
        """A value at random."""
        if self.kind in ("grid", "choice"):
            return self.values[int(generator.integers(len(self.values)))]
        low, high = self.values
        if self.kind == "integers":
            return int(generator.integers(low, high + 1))
        if self.kind == "uniform":
            return float(generator.uniform(low, high))
        return float(math.exp(generator.uniform(math.log(low), math.log(high))))


def _check_bounds(where: str, kind: str, values: list[Any]) -> None:
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if len(numbers) != 2 or len(values) != 2 or not numbers[0] < numbers[1]:
        raise UserError(f"{where} is {values}; give two bounds, the smaller one first")
    if not all(abs(number) <= LARGEST for number in numbers):
        raise UserError(f"{where} is {values}; give bounds of at most {LARGEST:g}")
    if kind == "loguniform" and numbers[0] <= 0:
        raise UserError(f"{where} is {values}; a logarithm needs bounds above 0")
    if kind == "integers" and not all(isinstance(value, int) for value in values):
        raise UserError(f"{where} is {values}; its bounds must be integers, and both belong to it")


@dataclass(frozen=True)
class Space:
    """All axes of a search."""

    axes: list[Axis]

    @classmethod
    def parse(cls, content: Mapping[str, Any], kind: str) -> Space:
        """The space from a recipe's `space`, for the command `kind`.

        Raises:
            UserError: for no axis, an axis that does not parse, or names that set the same key.
        """
        if not content:
            raise UserError("space is empty; name at least one key, as space: {ratio: {grid: [0.4, 0.8]}}")
        by_key: dict[str, str] = {}
        for name in content:
            other = by_key.setdefault(recipe_key(name, kind), name)
            if other != name:
                raise UserError(f"space has both {other!r} and {name!r}, which set the same key; keep one of them")
        return cls([Axis.parse(key, spec) for key, spec in content.items()])

    @property
    def is_listed(self) -> bool:
        """Whether there are finitely many points, so that a searcher may propose one twice."""
        return all(axis.kind not in ("uniform", "loguniform") for axis in self.axes)

    @property
    def size(self) -> float:
        """How many points there are."""
        return math.prod(axis.size for axis in self.axes)

    def grid(self) -> list[Point]:
        """Every combination of the listed values.

        Raises:
            UserError: when an axis is no list.
        """
        for axis in self.axes:
            if axis.kind not in ("grid", "choice"):
                raise UserError(f"space.{axis.key} is {axis.kind}, which has no end; give a number of trials, or a grid")
        values = (axis.values for axis in self.axes)
        return [
            dict(zip((axis.key for axis in self.axes), combination, strict=True)) for combination in itertools.product(*values)
        ]

    def sample(self, count: int, seed: int) -> list[Point]:
        """So many points: axes of kind `grid` in turn over all their combinations, the others at random.

        A point that comes again is drawn anew, so only a space that has fewer gives fewer.
        """
        listed = Space([axis for axis in self.axes if axis.kind == "grid"])
        free = [axis for axis in self.axes if axis.kind != "grid"]
        generator = np.random.default_rng(seed)
        turns = itertools.cycle(listed.grid() if listed.axes else [{}])
        points: dict[str, Point] = {}
        for _ in range(DRAWS * count):
            point = next(turns) | {axis.key: axis.draw(generator) for axis in free}
            points.setdefault(identity(point), point)
            if len(points) == min(count, self.size):
                break
        return list(points.values())


def recipe_key(name: str, kind: str) -> str:
    """The recipe's key that a name of the space sets, for the command `kind`; a sweep of version 0.1 may have an older one."""
    return ALPHA[kind] if name == "alpha" else SHORT.get(name, new_spelling(name) or name)


def overrides(point: Mapping[str, Any], *, kind: str, instances: int, clusters: Iterable[int]) -> dict[str, Any]:
    """The recipe's keys that a point sets.

    Args:
        point: values by key or short name.
        kind: command of the base recipe.
        instances: N.
        clusters: of the base recipe's heads, for `gamma` without K or n.

    Raises:
        UserError: where a coupling gives no possible value.
    """
    settings = {recipe_key(name, kind): value for name, value in point.items() if name not in SHORT}
    for name in COUNTS & point.keys():
        _check_numbers(name, point[name])
    heads = list(clusters)
    if "K" in point:
        heads = point["K"] if isinstance(point["K"], list) else [point["K"]]
    if "n" in point:
        if not 0 < point["n"] <= instances / 2:
            raise UserError(f"n = {point['n']} of {instances} training images makes fewer than 2 clusters")
        heads = [int(instances // point["n"])]
    if "K" in point or "n" in point:
        settings["method.num_clusters"] = heads
    if "ratio" in point:
        settings["method.min_size_ratio"] = point["ratio"]
    if "gamma" in point:
        settings["method.min_size_ratio"] = _ratio(point["gamma"], heads, instances)
    return settings


def _check_numbers(name: str, value: Any) -> None:
    numbers = value if name == "K" and isinstance(value, list) else [value]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        raise UserError(f"{name} is {value!r}; give a number{', or a list of them' if name == 'K' else ''}")


def _ratio(gamma: float, heads: list[int], instances: int) -> float:
    if len(set(heads)) != 1:
        raise UserError(f"gamma = {gamma} needs heads of one size, this point has {heads}; search ratio instead")
    ratio = gamma * heads[0] / instances
    if ratio > 1:
        raise UserError(
            f"gamma = {gamma} with {heads[0]} clusters asks for {gamma * heads[0]:.0f} of {instances} training images"
        )
    return ratio
