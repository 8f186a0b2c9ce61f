"""Settings that do nothing beside others: declared where the settings are, so that whoever adds one says when it acts.

A dataclass of settings lists them as its class variable `idle`. Free of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Idle:
    """Settings that change nothing in what is learned unless another one gives them something to do.

    Attributes:
        keys: of the same dataclass.
        unless: by key, whether its value gives them something to do; one is enough. A key with a dot is of another section.
        change: what gives them something to do, in words.
        because: why they have nothing to do, in words; where it is empty the values of `unless` say it.
    """

    keys: tuple[str, ...]
    unless: Mapping[str, Callable[[Any], bool]]
    change: str
    because: str = ""


def one_of(*values: object) -> Callable[[Any], bool]:
    """Whether a setting has one of these values."""
    return values.__contains__


def other_than(value: object) -> Callable[[Any], bool]:
    """Whether a setting has another value."""
    return lambda has: bool(has != value)
