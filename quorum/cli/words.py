"""The words of a command line -> values by key; a mistake is one sentence with the nearest valid option."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn, get_args, get_origin

import yaml

from pipelines.config.key_types import alternatives
from pipelines.config.plain_values import PlainLoader, number_of
from pipelines.errors import UserError, nearest
from quorum.cli.option import Option


@dataclass(frozen=True)
class Spelling:
    """How a command's options may be written besides their keys.

    Attributes:
        short: shorter names, for example `workers` for `compute.workers`.
        old: names of an earlier version, with those of today; refused with the new one.
    """

    short: Mapping[str, str]
    old: Mapping[str, str]


@dataclass(frozen=True)
class Given:
    """What a command line gives.

    Attributes:
        values: by the options' keys, as text; of flags booleans.
        settings: of `--set`, by keys of a recipe.
    """

    values: dict[str, Any]
    settings: dict[str, Any]


class _Parser(argparse.ArgumentParser):
    """Raises where argparse prints and exits."""

    def error(self, message: str) -> NoReturn:
        raise UserError(message)


def read_words(
    words: Sequence[str], options: Mapping[str, Option], positional: Sequence[str] = (), spelling: Spelling | None = None
) -> Given:
    """The values that a command line gives.

    Args:
        words: after the command.
        options: of the command, by key.
        positional: keys that may be given without their name, in order; a last one that ends in `...` takes all that are left.
        spelling: other names of the options.

    Raises:
        UserError: for an option that is unknown, old, given twice, or lacks its value.
    """
    spelling = spelling or Spelling({}, {})
    parser, names = _Parser(add_help=False, allow_abbrev=False), {**{key: key for key in options}, **spelling.short}
    for name, key in names.items():
        flag = f"--{name.replace('_', '-')}"
        if options[key].is_flag:
            parser.add_argument(flag, dest=key, action=argparse.BooleanOptionalAction, default=argparse.SUPPRESS)
        else:
            parser.add_argument(flag, dest=key, default=argparse.SUPPRESS)
    parser.add_argument("--set", dest="set", action="append", default=[], metavar="KEY=VALUE")
    words = [_todays(word, spelling, names) for word in words]
    _refuse_values_of_flags(words, {name for name, key in names.items() if options[key].is_flag})
    found, rest = parser.parse_known_args(list(words))
    values = vars(found)
    assignments = dict(_assignment(text) for text in values.pop("set"))
    plain = [word for word in rest if not _is_option(word)]
    for word in rest:
        if _is_option(word):
            values |= _below_a_mapping(word, options, names)
    placed = _placed(plain, positional)
    if twice := [key for key in placed if key in values]:
        raise UserError(f"{twice[0]} is given twice, as {placed[twice[0]]!r} and as {values[twice[0]]!r}; give it once")
    return Given({**values, **placed}, assignments)


def _todays(word: str, spelling: Spelling, names: Mapping[str, str]) -> str:
    """The word with hyphens in the option's name, unless that is an old one."""
    if not word.startswith("--"):
        return word
    name, mark, value = word[2:].partition("=")
    key = name.replace("-", "_")
    if key in spelling.old and key not in names:
        raise UserError(f"--{key} is --{spelling.old[key]} now")
    return f"--{name.replace('_', '-')}{mark}{value}"


def _is_option(word: str) -> bool:
    return word.startswith("--") or (word[:1] == "-" and word[1:2].isalpha())


def _refuse_values_of_flags(words: Sequence[str], flags: set[str]) -> None:
    for word, following in pairwise([*words, ""]):
        key, mark, value = word.removeprefix("--").partition("=")
        name = key.replace("-", "_")
        if word.startswith("--") and name in flags and (mark or following.lower() in ("true", "false")):
            off = (value or following).lower() == "false"
            raise UserError(f"--{key} takes no value; give --{'no-' if off else ''}{key}")


def _below_a_mapping(word: str, options: Mapping[str, Option], names: Mapping[str, str]) -> dict[str, str]:
    """A key below an option that is a mapping of any keys, as `--backbone.options.depth=3`."""
    name, mark, value = word.lstrip("-").partition("=")
    key = name.replace("-", "_")
    above = key.rpartition(".")[0]
    sections = {option.section for option in options.values() if option.section}
    if (above in options and options[above].metavar == "MAPPING") or key in sections:
        if not mark:
            raise UserError(f"--{key} is written with its value: --{key}=VALUE")
        return {key: value}
    raise UserError(f"unknown option {word.partition('=')[0]}{nearest(key, names)}")


def _placed(plain: Sequence[str], positional: Sequence[str]) -> dict[str, Any]:
    """Words without a name, by the keys that they stand for."""
    values: dict[str, Any] = {}
    left = list(plain)
    for key in positional:
        if key.endswith("..."):
            values[key.removesuffix("...")], left = left, []
        elif left:
            values[key] = left.pop(0)
    if left:
        raise UserError(f"{left[0]!r} is one word too many; options begin with --")
    return values


def _assignment(text: str) -> tuple[str, Any]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise UserError(f"--set {text!r} has no value; give KEY=VALUE, as --set epochs=6")
    try:
        return key.replace("-", "_"), yaml.load(value, PlainLoader)
    except yaml.YAMLError as error:
        raise UserError(f"--set {text!r}: the value is no YAML ({' '.join(str(error).split())})") from error


def typed(values: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    """The values as the types of a function's parameters.

    Raises:
        UserError: for a text that is no number where one is wanted.
    """
    return {key: _typed(key, value, options[key].hint) for key, value in values.items()}


def _typed(key: str, value: Any, hint: Any) -> Any:
    parts = alternatives(hint)
    if not isinstance(value, str):
        return value
    items = [alternatives(inner) for part in parts if get_origin(part) in (list, Sequence) for inner in get_args(part)]
    if items:
        text = value.strip("[] ")
        wanted = [item.strip() for item in text.split(",")] if text else []
        return [_number(key, item, items[0]) for item in wanted if item or str not in items[0]]
    return _number(key, value, parts)


def _number(key: str, value: str, parts: Sequence[Any]) -> Any:
    """A text as the number that is wanted, if one is."""
    for kind, noun in ((int, "a whole number"), (float, "a number")):
        if kind in parts:
            found = number_of(value, kind)
            if found is None:
                raise UserError(f"--{key.replace('_', '-')} is {value!r}; give {noun}")
            return found
    return value
