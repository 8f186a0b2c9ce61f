"""Options as a command line spells them, as settings of a recipe."""

from __future__ import annotations

from collections.abc import Sequence


def settings_of(words: Sequence[str]) -> dict[str, str]:
    """`["--epochs", "9", "--method.dim=3"]` as `{"epochs": "9", "method.dim": "3"}`."""
    settings, left = {}, list(words)
    while left:
        key, mark, value = left.pop(0).removeprefix("--").partition("=")
        settings[key] = value if mark else left.pop(0)
    return settings
