"""Checks of settings against their ranges; each message names the key as a recipe spells it: `part.key`."""

from __future__ import annotations

import math

SMALL_IMAGE = 64  # px; up to here the ImageNet stem would leave too few positions
LEAST, MOST = 1e-30, 1e30  # above 0; float32, which settings become parts of, has 0 and infinity a little beyond
SEEDS = 1 << 63  # of which torch takes any


def require_shares(config: object, *keys: str, part: str = "") -> None:
    """Refuse values outside [0, 1].

    Raises:
        ValueError: naming the first such key.
    """
    for key in keys:
        if not 0 <= getattr(config, key) <= 1:
            raise ValueError(f"{_spelled(part, key)} is {getattr(config, key)}; it must lie in [0, 1]")


def require_positive(config: object, *keys: str, part: str = "") -> None:
    """Refuse values of 0 or less, and those beyond float32; `None` stands for a default and is left alone.

    Raises:
        ValueError: naming the first such key.
    """
    for key in keys:
        value = getattr(config, key)
        if value is not None and not LEAST <= value <= MOST:  # nor NaN
            bound = f" and at least {LEAST:g}" if 0 < value < LEAST else _at_most(value)
            raise ValueError(f"{_spelled(part, key)} is {value}; it must be positive{bound}")


def require_not_negative(config: object, *keys: str, part: str = "") -> None:
    """Refuse values below 0, and those beyond float32; `None` stands for a default and is left alone.

    Raises:
        ValueError: naming the first such key.
    """
    for key in keys:
        value = getattr(config, key)
        if value is not None and not 0 <= value <= MOST:  # nor NaN
            raise ValueError(f"{_spelled(part, key)} is {value}; it must be 0 or more{_at_most(value)}")


def require_seed(config: object) -> None:
    """Refuse a `seed` below 0, and one that torch would not take.

    Raises:
        ValueError: naming the key.
    """
    key = "seed"
    if getattr(config, key) >= SEEDS:
        raise ValueError(f"{key} is {getattr(config, key)}; it must be below 2^63")
    require_not_negative(config, key)


def require_size_ratios(config: object, *, part: str = "") -> None:
    """Refuse a `min_size_ratio` outside [0, 1] and a `max_size_ratio` below 1: the mean size lies between them.

    `None` stands for a default, or for no maximum, and is left alone.

    Raises:
        ValueError: naming the key.
    """
    key = "min_size_ratio"
    if getattr(config, key) is not None:
        require_shares(config, key, part=part)
    key = "max_size_ratio"
    most = getattr(config, key)
    if most is not None and not 1 <= most < math.inf:
        raise ValueError(f"{_spelled(part, key)} is {most}; it must be 1 or more, of the mean size, or null for no maximum")


def _at_most(value: float) -> str:
    return f" and at most {MOST:g}" if value > MOST else ""


def _spelled(part: str, key: str) -> str:
    """The key as a recipe spells it."""
    return f"{part}.{key}" if part else key
