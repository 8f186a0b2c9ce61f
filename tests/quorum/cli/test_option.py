"""Options are read off functions and configurations, with what their docstrings say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from quorum.cli.commands import COMMANDS
from quorum.cli.option import REQUIRED, Option, options_of_config, options_of_function


def made_up(source: str | Path, to: str | None = None, *, kinds: Sequence[str] = (), fast: bool = False, **rest: int) -> None:
    """Do something.

    Args:
        source: where it
            comes from.
        to: where it goes.
        kinds: of it.
        fast: or slow.
        **rest: nothing.
    """


@dataclass(frozen=True)
class Part:
    """A section.

    Attributes:
        rate: of change.
        kind: one of two.
    """

    rate: float = 0.5
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Whole:
    """A configuration.

    Attributes:
        data: see `Data`.
        part: see `Part`.
        heads: sizes.
    """

    data: str
    part: Part = field(default_factory=lambda: Part(rate=0.25))
    heads: list[int] = field(default_factory=lambda: [3, 4])


def test_a_functions_parameters_are_options():
    found = options_of_function(made_up)
    assert list(found) == ["source", "to", "kinds", "fast"]
    assert found["source"] == Option("source", str | Path, REQUIRED, "where it comes from.")
    assert (found["fast"].is_flag, found["to"].default, found["kinds"].metavar) == (True, None, "LIST")
    assert list(options_of_function(made_up, without=("to",))) == ["source", "kinds", "fast"]


def test_a_configurations_keys_are_options_with_the_defaults_that_it_gives_its_sections():
    found = options_of_config(Whole)
    assert list(found) == ["data", "part.rate", "part.kind", "heads"]
    assert (found["data"].default, found["part.rate"].default, found["heads"].default) == (REQUIRED, 0.25, [3, 4])
    assert (found["part.kind"].metavar, found["part.rate"].text, found["part.rate"].section) == ("a|b", "of change.", "part")


def test_every_option_of_every_command_is_explained():
    for name, command in COMMANDS.items():
        silent = [key for key, option in command.options().items() if not option.text]
        assert silent == [], name


def test_options_that_commands_share_are_of_the_same_kind():
    kinds: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for key, option in command.options().items():
            if key in ("data", "to", "storage", "name", "address", "workers", "gpu", "compute.workers", "compute.gpu"):
                kinds.setdefault(key.rpartition(".")[2], set()).add(option.metavar)
    assert all(len(found) == 1 for found in kinds.values()), kinds
