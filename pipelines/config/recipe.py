"""Recipes and options -> typed configurations; a key that is not known is an error with the nearest one that is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast, get_args, get_type_hints

import yaml
from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace

from pipelines.errors import UserError, nearest

Config = TypeVar("Config")


def new_parser(command: str, description: str) -> ArgumentParser:
    """A parser that raises instead of exiting."""
    return ArgumentParser(prog=f"quorum {command}", description=description, exit_on_error=False, allow_abbrev=False)


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    """Parse, turning the parser's complaint into one sentence with the nearest valid option."""
    try:
        return parser.parse_args(list(words))
    except (ArgumentError, SystemExit) as error:
        if isinstance(error, SystemExit):  # --help
            raise
        options = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
        raise UserError(_one_sentence(str(error), options)) from error


def option_value(option: str, words: Sequence[str]) -> str | None:
    """What follows an option among the words of a command line, before they are parsed."""
    for index, word in enumerate(words):
        if word == option and index + 1 < len(words):
            return words[index + 1]
        if word.startswith(f"{option}="):
            return word.split("=", 1)[1]
    return None


def _one_sentence(message: str, options: Sequence[str]) -> str:
    text = re.sub(r"\s+", " ", message).strip()
    unknown = re.search(r"(?:[Uu]nrecognized arguments?:|does not accept option|[Kk]ey|[Oo]ption) ['\"]?(?:--)?([\w.-]+)", text)
    if unknown and unknown[1].split("=")[0] not in options:
        key = unknown[1].split("=")[0]
        return f"unknown option or key {key!r}{nearest(key, options)}"
    return text


def instantiate(parser: ArgumentParser, options: Namespace, kind: type[Config]) -> Config:
    """The configuration of type `kind` that parsed options hold.

    Raises:
        UserError: when one of its parts refuses its values.
    """
    try:
        parts = parser.instantiate(options)
        return kind(**{field.name: parts[field.name] for field in fields(cast("Any", kind))})
    except ValueError as error:
        raise UserError(str(error)) from error


def read_recipe(path: str, kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """The configuration in a file, with overrides as the command line spells them (`--method.dim`, `64`).

    Raises:
        UserError: for a file, key or value that is not valid.
    """
    check_recipe(path, kind)
    parser = new_parser("", "")
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_class_arguments(kind, nested_key=None)
    return instantiate(parser, parse(parser, ["--config", path, *overrides]), kind)


def from_values(values: Mapping[str, Any], kind: type[Config]) -> Config:
    """The configuration of nested plain values, as `to_dict` gives them.

    Raises:
        UserError: for a key or value that is not valid.
    """
    _check_keys(dict(values), kind, "", "")
    parser = new_parser("", "")
    parser.add_class_arguments(kind, nested_key=None)
    try:
        options = parser.parse_object(deepcopy(dict(values)))  # it turns inner dictionaries into its own kind in place
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(_one_sentence(str(error), [])) from error
    return instantiate(parser, options, kind)


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with some of them set by their dotted keys, each replaced whole."""
    changed = dict(values)
    for key, value in settings.items():
        first, dot, rest = key.partition(".")
        inner = changed.get(first)
        changed[first] = with_settings(inner if isinstance(inner, Mapping) else {}, {rest: value}) if dot else value
    return changed


def check_recipe(path: str, kind: type) -> None:
    """Refuse a recipe that is no file, no YAML mapping, or has a key that `kind` does not know.

    Raises:
        UserError: naming the file, the key and the nearest valid one.
    """
    try:
        with open(path) as file:
            content = yaml.safe_load(file)
    except OSError as error:
        raise UserError(f"recipe {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"recipe {path} holds no keys")
    _check_keys(content, kind, f"recipe {path}: ", "")


def _check_keys(content: dict[str, Any], kind: type, where: str, prefix: str) -> None:
    hints = get_type_hints(kind)
    known = {field.name: hints[field.name] for field in fields(kind)}
    for key, value in content.items():
        if key not in known:
            raise UserError(f"{where}unknown key '{prefix}{key}'{nearest(str(key), known)}")
        inner = [known[key], *get_args(known[key])]
        nested = cast("type | None", next((part for part in inner if is_dataclass(part)), None))
        for item in value if isinstance(value, list) else [value]:
            if nested is not None and isinstance(item, dict):
                _check_keys(item, nested, where, f"{prefix}{key}.")
