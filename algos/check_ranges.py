"""Checks of settings against their ranges; each message names the key as a recipe spells it: `part.key`."""

from __future__ import annotations


def require_shares(config: object, *keys: str, part: str = "") -> None:
    """Refuse values outside [0, 1].

    Raises:
        ValueError: naming the first such key.
    """
    for key in keys:
        if not 0 <= getattr(config, key) <= 1:
            raise ValueError(f"{_spelled(part, key)} is {getattr(config, key)}; it must lie in [0, 1]")


def require_positive(config: object, *keys: str, part: str = "") -> None:
    """Refuse values of 0 or less; `None` stands for a default and is left alone.

    Raises:
        ValueError: naming the first such key.
    """
    for key in keys:
        value = getattr(config, key)
        if value is not None and not value > 0:  # nor NaN
            raise ValueError(f"{_spelled(part, key)} is {value}; it must be positive")


def require_not_negative(config: object, *keys: str, part: str = "") -> None:
    """Refuse values below 0.

    Raises:
        ValueError: naming the first such key.
    """
    for key in keys:
        if not getattr(config, key) >= 0:  # nor NaN
            raise ValueError(f"{_spelled(part, key)} is {getattr(config, key)}; it must be 0 or more")


def _spelled(part: str, key: str) -> str:
    """The key as a recipe spells it."""
    return f"{part}.{key}" if part else key
