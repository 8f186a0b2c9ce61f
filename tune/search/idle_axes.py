"""Searched keys that do nothing: their trials would differ by chance alone, and a comparison would name the luckiest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Any

from pipelines.config.idle_keys import idle_keys, late_stages
from pipelines.errors import UserError
from pipelines.words import tell
from tune.search.space import recipe_key
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


def _idle(config: Any, beside: set[str] | None = None) -> dict[str, str]:
    """Why keys of a configuration do nothing, except for those that a value of the keys `beside` may wake."""
    waking = beside or set()
    idle = {key: one.sentence for key, one in idle_keys(config).items() if not one.beside & waking}
    return idle | ({} if "epochs" in waking else late_stages(config))
