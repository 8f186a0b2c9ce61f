"""Plain values -> typed configurations; what is not known is an error with the nearest that is."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast, get_args

from jsonargparse import ArgumentError, ArgumentParser

from pipelines.config.key_types import holds_sections, key_types, read_texts, type_of, wanted
from pipelines.config.method_options import method_type
from pipelines.config.old_configs import old_keys, refuse_old
from pipelines.config.plain_values import flatten
from pipelines.errors import UserError, nearest

Config = TypeVar("Config")
PATHS, NAMES = ("to", "storage"), ("column", "id")  # among the keys of text


@lru_cache(maxsize=16)
def _parser(kind: type, settings: type | None) -> ArgumentParser:
    """A parser with an option for every key of a configuration, and of the method's settings where it has a method.

    Kept, as making one takes as long as reading with it.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, nested_key=None, skip={"method"} if settings else set())
    if settings is not None:
        parser.add_class_arguments(settings, "method")
    return parser


def from_values(values: Mapping[str, Any], kind: type[Config]) -> Config:
    """The configuration of nested plain values, as `to_dict` gives them; each value may be text, as words of a shell are.

    Raises:
        UserError: for a key or value that is not valid.
    """
    method = method_type(kind, method_name(values))
    _refuse_empty(values, kind, method)
    read = read_texts(values, kind, method)
    check_keys(read, kind)
    parser = _parser(cast("type", kind), method_type(kind, method_name(read)))
    try:
        options = parser.parse_object(read)
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(_one_sentence(str(error), kind, method)) from error
    try:
        parts = parser.instantiate(options)
        return kind(**{field.name: parts[field.name] for field in fields(cast("Any", kind))})
    except ValueError as error:
        raise UserError(str(error)) from error


def _refuse_empty(values: Mapping[str, Any], kind: type, method: type | None) -> None:
    """Refuse a key whose value is an empty text, as a variable of a shell is that is not set: it would stand for another."""
    paths = {*getattr(kind, "input_paths", ()), *PATHS}
    for key, value in flatten(dict(values)).items():
        if isinstance(value, str) and not value.strip() and (hint := type_of(key, kind, method)) is not None:
            raise UserError(f"{key} is empty; give {'a path' if key in paths else 'a name' if key in NAMES else wanted(hint)}")


def _one_sentence(message: str, kind: type, method: type | None) -> str:
    """What the parser says of a value, in the user's words where they are known."""
    text = re.sub(r"\s+", " ", message).strip()
    if missing := re.fullmatch(r'(?:Parser key "([\w.]+)": .*)?the following arguments are required: (.*)', text):
        where, recipe = (f"{missing[1]}: ", "") if missing[1] else ("", ", or a recipe that has it (quorum recipes lists them)")
        return f"{where}{missing[2]} is missing; give it{recipe}"
    named = re.match(r'(?:Parser key )?"([\w.]+)": (.*)(?:Got|Given) value: ?(.*)$', text)
    hint = type_of(named[1], kind, method) if named else None
    if named is None or hint is None:
        return text
    key, what = named[1], wanted(hint)
    inner = re.search(r'Parser key "([\w.]+)": [^"]*$', named[2]) if holds_sections(hint) else None
    section = next((part for part in get_args(hint) if is_dataclass(part)), None)
    if inner and section and (of_section := type_of(inner[1], cast("type", section))) is not None:
        key, what = f"{key}: {inner[1]}", wanted(of_section)
    return f"{key} is {named[3] or 'empty'}; give {what}"


def method_name(values: Mapping[str, Any]) -> str | None:
    """What nested values say of `method.name`."""
    method = values.get("method")
    name = method.get("name") if isinstance(method, Mapping) else None
    if name is not None and not isinstance(name, str):
        raise UserError(f"method.name is {name}; give text")
    return name


def with_settings(values: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values with some of them set by their dotted keys, each replaced whole."""
    changed = dict(values)
    for key, value in settings.items():
        first, dot, rest = key.partition(".")
        inner = changed.get(first)
        changed[first] = with_settings(inner if isinstance(inner, Mapping) else {}, {rest: value}) if dot else value
    return changed


def dotted(settings: Mapping[str, Any], whole: Collection[str] = ()) -> dict[str, Any]:
    """Settings by dotted keys: a section that is given as a mapping keeps those of its keys that are not in it.

    Args:
        settings: values by their keys, dotted or not.
        whole: keys whose mappings are values of their own.
    """
    parts: dict[str, Any] = {}
    for key, value in settings.items():
        is_section = isinstance(value, Mapping) and "." not in key and key not in whole
        parts |= {f"{key}.{inner}": part for inner, part in value.items()} if is_section else {key: value}
    return parts


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
        keys = values.get(part) or {}
        if not isinstance(keys, Mapping) or not all(isinstance(key, str) for key in keys):
            raise UserError(f"{where}{part} is {keys!r}; give a mapping of keys of the recipe")
        refuse_old(keys, f"{where}{part}: ")
    _check_keys(values, kind, where, "", method_type(kind, method_name(values)))


def _check_keys(values: Mapping[str, Any], kind: type, where: str, prefix: str, method: type | None = None) -> None:
    known = key_types(kind, method)
    for key, value in values.items():
        if key not in known:
            raise UserError(f"{where}unknown key '{prefix}{key}'{nearest(str(key), known, prefix)}")
        is_section = is_dataclass(known[key])
        if (is_section and not isinstance(value, Mapping)) or (value is None and not is_section and not _takes_null(known[key])):
            raise UserError(f"{where}{prefix}{key} is {'null' if value is None else value}; give {wanted(known[key])}")
        inner = [known[key], *get_args(known[key])]
        nested = cast("type | None", next((part for part in inner if is_dataclass(part)), None))
        for item in value if isinstance(value, list) else [value]:
            if nested is not None and isinstance(item, Mapping):
                _check_keys(item, nested, where, f"{prefix}{key}.")
            elif holds_sections(known[key]) and item is not value:
                raise UserError(f"{where}{prefix}{key} holds {item!r}; give {wanted(known[key])}")


def _takes_null(hint: Any) -> bool:
    """Whether a key of that type may be null, which the parser does not look at."""
    return hint is Any or type(None) in get_args(hint)
