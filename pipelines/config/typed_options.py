"""Words of a command line and plain values -> typed configurations; what is not known is an error with the nearest that is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, cast, get_args, get_type_hints

from jsonargparse import ActionConfigFile, ArgumentError, ArgumentParser, Namespace

from pipelines.config.method_options import method_type
from pipelines.config.old_configs import new_spelling, old_keys, refuse_old
from pipelines.errors import UserError, nearest

Config = TypeVar("Config")


def new_parser(command: str, description: str) -> ArgumentParser:
    """A parser that raises instead of exiting."""
    return ArgumentParser(prog=f"quorum {command}", description=description, exit_on_error=False, allow_abbrev=False)


def _add_options(parser: ArgumentParser, kind: type, method: str | None) -> None:
    """Give a parser an option for every key of a configuration, with those of the method where it has one."""
    settings = method_type(kind, method)
    parser.add_class_arguments(kind, nested_key=None, skip={"method"} if settings else set())
    if settings is not None:
        parser.add_class_arguments(settings, "method")


def parse(parser: ArgumentParser, words: Sequence[str]) -> Namespace:
    """Parse, turning the parser's complaint into one sentence with the nearest valid option.

    Raises:
        UserError: for an option or a value that is not valid; an option as version 0.1 spelled it is named with the new one.
    """
    options = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
    given = [word[2:].split("=")[0] for word in words if word.startswith("--")]
    for key in given:
        new = new_spelling(key)
        if new is not None and key not in options and new.partition(".")[0] in {option.partition(".")[0] for option in options}:
            raise UserError(f"--{key} is --{new} now")
    try:
        return parser.parse_args(list(words))
    except (ArgumentError, SystemExit) as error:
        if isinstance(error, SystemExit):  # --help
            raise
        raise UserError(_one_sentence(str(error), options)) from error


def _option_value(option: str, words: Sequence[str]) -> str | None:
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


def from_values(values: Mapping[str, Any], kind: type[Config], overrides: Sequence[str] = ()) -> Config:
    """The configuration of nested plain values, as `to_dict` gives them, with overrides as the command line spells them.

    Raises:
        UserError: for a key or value that is not valid.
    """
    check_keys(values, kind)
    parser = new_parser("", "")
    parser.add_argument("--config", action=ActionConfigFile)
    _add_options(parser, kind, _option_value("--method.name", overrides) or method_name(values))
    options = parse(parser, ["--config", json.dumps(values), *overrides])
    try:
        parts = parser.instantiate(options)
        return kind(**{field.name: parts[field.name] for field in fields(cast("Any", kind))})
    except ValueError as error:
        raise UserError(str(error)) from error


def method_name(values: Mapping[str, Any]) -> str | None:
    """What nested values say of `method.name`."""
    method = values.get("method")
    return method.get("name") if isinstance(method, Mapping) else None


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with some of them set by their dotted keys, each replaced whole."""
    changed = dict(values)
    for key, value in settings.items():
        first, dot, rest = key.partition(".")
        inner = changed.get(first)
        changed[first] = with_settings(inner if isinstance(inner, Mapping) else {}, {rest: value}) if dot else value
    return changed


def check_keys(values: Mapping[str, Any], kind: type, where: str = "") -> None:
    """Refuse nested values with a key that `kind` does not know.

    Args:
        values: of a configuration.
        kind: its type.
        where: what the message begins with.

    Raises:
        UserError: naming the key, and the nearest valid or the present one.
    """
    known = {field.name for field in fields(kind)}
    refuse_old([key for key in old_keys(values) if key not in known], where)
    for part in getattr(kind, "keys_of_recipes", ()):
        refuse_old([str(key) for key in values.get(part) or ()], f"{where}{part}: ")
    _check_keys(values, kind, where, "", method_type(kind, method_name(values)))


def _check_keys(values: Mapping[str, Any], kind: type, where: str, prefix: str, method: type | None = None) -> None:
    hints = get_type_hints(kind)
    known = {field.name: hints[field.name] for field in fields(kind)}
    if method is not None:
        known["method"] = method
    for key, value in values.items():
        if key not in known:
            raise UserError(f"{where}unknown key '{prefix}{key}'{nearest(str(key), known)}")
        inner = [known[key], *get_args(known[key])]
        nested = cast("type | None", next((part for part in inner if is_dataclass(part)), None))
        for item in value if isinstance(value, list) else [value]:
            if nested is not None and isinstance(item, Mapping):
                _check_keys(item, nested, where, f"{prefix}{key}.")
