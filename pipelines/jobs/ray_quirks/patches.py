"""Values that others have within a block: variables of the environment, attributes of objects."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unless_given(values: dict[str, str]) -> Iterator[None]:
    """Variables of the environment have values within the block, unless the user has given them others."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


@contextmanager
def replaced(values: dict[tuple[Any, str], Any]) -> Iterator[None]:
    """Attributes of objects have other values within the block."""
    before = {(owner, name): getattr(owner, name) for owner, name in values}
    try:
        for (owner, name), value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)
