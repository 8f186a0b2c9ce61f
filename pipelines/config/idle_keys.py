"""Keys of a configuration that do nothing beside its other values, and stages that its last epoch comes before.

Which they are is said where the keys are: by `idle` and `stages` of each section and of each method's settings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from algos.idle_settings import Idle
from pipelines.config.plain_values import plain
from pipelines.words import counted


@dataclass(frozen=True)
class IdleKey:
    """A key that does nothing.

    Attributes:
        sentence: why, and what to change.
        beside: keys whose values make it so.
        is_default: whether its value is the one of a key that nobody gives.
    """

    sentence: str
    beside: frozenset[str]
    is_default: bool


def idle_keys(config: Any) -> dict[str, IdleKey]:
    """Those of a configuration, by key as a recipe spells it; in a list of sections as `views.large[0].jitter_p`."""
    return {
        f"{prefix}{key}": _idle_key(config, section, prefix, key, rule)
        for prefix, section in _sections(config)
        for rule in getattr(section, "idle", ())
        if not any(works(_value(config, section, other)) for other, works in rule.unless.items())
        for key in rule.keys
    }


def remarks(config: Any, given: Collection[str], listed: Collection[str] = ()) -> list[str]:
    """A sentence for each key that a user gave and that does nothing.

    Args:
        config: that the values have become a part of.
        given: dotted keys that the user names.
        listed: those of a file or an object, which may have all keys: of them only what is no default is meant.
    """
    return [
        idle.sentence
        for key, idle in idle_keys(config).items()
        if key in given or (not idle.is_default and key.partition("[")[0] in {*given, *listed})
    ]


def late_stages(config: Any) -> dict[str, str]:
    """A sentence for each key of a stage that a run of so many epochs does not come to."""
    return {
        f"{prefix}{key}": f"{prefix}{key} is {value:,}, and the run has {counted(config.epochs, 'epoch')}: it ends before {what}"
        for prefix, section in _sections(config)
        for key, (least, what) in getattr(section, "stages", {}).items()
        if (value := getattr(section, key)) is not None and config.epochs < value + least
    }


def _sections(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration and the sections in it, each with what its keys begin with."""
    yield prefix, part
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from _sections(value, f"{prefix}{field.name}.")
        for place, item in enumerate(value if isinstance(value, list) else []):
            if is_dataclass(item):
                yield from _sections(item, f"{prefix}{field.name}[{place}].")


def _value(config: Any, section: Any, key: str) -> Any:
    value = config if "." in key else section
    for name in key.split("."):
        value = getattr(value, name)
    return value


def _idle_key(config: Any, section: Any, prefix: str, key: str, rule: Idle) -> IdleKey:
    beside = {other if "." in other else f"{prefix}{other}": _value(config, section, other) for other in rule.unless}
    because = rule.because or " and ".join(f"{other} is {_shown(value)}" for other, value in beside.items())
    sentence = f"{prefix}{key} does nothing while {because}; {rule.change}, or leave {key} out"
    field = next(field for field in fields(section) if field.name == key)
    usual = field.default if field.default_factory is MISSING else field.default_factory()
    return IdleKey(sentence, frozenset(beside), getattr(section, key) == usual)


def _shown(value: Any) -> Any:
    """A value as a recipe spells it."""
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else plain(value)
