"""Searched keys, points and settings that do nothing: trials would differ by chance alone, and a comparison name the luckiest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

from pipelines.config.idle_keys import idle_keys, late_stages
from pipelines.errors import UserError
from pipelines.words import counted, tell
from tune.points import spelled
from tune.search.space import Point, Space, recipe_key
from tune.search.sweep_config import SweepConfig


def check_axes(sweep: SweepConfig, base: Any, configs: Sequence[Any]) -> None:
    """Refuse a searched key that does nothing at any point; say of those that do nothing at some, and of idle settings.

    Args:
        sweep: whose space it is.
        base: configuration of all trials, before a point is set.
        configs: of each point; none where a searcher proposes them.

    Raises:
        UserError: naming the key, why it does nothing, and what to change.
    """
    searched = {recipe_key(name, sweep.kind) for name in sweep.space}
    everywhere = _idle(base, beside=searched)
    found = [_idle(config) for config in configs] or [everywhere]
    for key, points in Counter(key for key in chain.from_iterable(found) if key in searched).items():
        sentence = next(idle[key] for idle in found if key in idle)
        if points == len(found):
            raise UserError(f"space searches {key}, but {sentence}")
        tell(f"space: {points} of {len(found)} points differ by chance alone: {sentence}")
    for key in sorted(everywhere.keys() & (sweep.settings.keys() | late_stages(base).keys()) - searched):
        tell(everywhere[key])


def tell_needless(
    sweep: SweepConfig, settings: Mapping[str, Any], points: Sequence[Point], configs: Sequence[Any]
) -> None:  # fmt: skip
    """Say of points that are trained twice or not at all, and of settings that the space sets.

    Args:
        sweep: whose points they are.
        settings: of the sweep, by dotted keys.
        points: to try; none where a searcher proposes them.
        configs: of each point.
    """
    searched = {recipe_key(name, sweep.kind): name for name in sweep.space}
    for key in sorted(searched.keys() & settings.keys()):
        tell(f"settings.{key} does nothing, for space.{searched[key]} sets it; leave out one of the two")
    size, asked = Space.parse(sweep.space, sweep.kind).size, sweep.budget.trials
    if points and asked is not None and size < asked:
        tell(f"budget.trials is {asked:,}, but the space has {counted(int(size), 'point')}")
    if sweep.searcher == "grid" and asked is not None and asked < size:
        tell(f"budget.trials is {asked:,}: the last {size - asked:,} of the grid's {size:,} points are left out")
    runs: dict[str, list[Point]] = {}
    for point, config in zip(points, configs, strict=True):
        runs.setdefault(repr(config), []).append(point)
    for same in runs.values():
        if len(same) > 1:
            tell(f"space: {' and '.join(map(spelled, same))} are one and the same run, which is trained {len(same)} times")


def _idle(config: Any, beside: set[str] | None = None) -> dict[str, str]:
    """Why keys of a configuration do nothing, except for those that a value of the keys `beside` may wake."""
    waking = beside or set()
    idle = {key: one.sentence for key, one in idle_keys(config).items() if not one.beside & waking}
    return idle | ({} if "epochs" in waking else late_stages(config))
