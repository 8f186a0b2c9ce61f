"""The type of a configuration's key, and what a user calls it."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from pipelines.config.plain_values import PlainLoader, number_of
from pipelines.errors import UserError

NOUNS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}


def key_types(kind: type, method: type | None = None) -> dict[str, Any]:
    """Types of the keys of a dataclass; of `method` that of the method that is configured."""
    hints = get_type_hints(kind)
    found = {field.name: hints[field.name] for field in fields(kind)}
    return found if method is None else {**found, "method": method}


def type_of(key: str, kind: type, method: type | None = None) -> Any:
    """Type of a dotted key; `None` where there is no such key, or it lies below a mapping of any keys."""
    first, _, rest = key.partition(".")
    hint = key_types(kind, method).get(first) if is_dataclass(kind) else None
    return type_of(rest, hint) if rest and isinstance(hint, type) else None if rest else hint


def holds_parts(hint: Any) -> bool:
    """Whether values of a type are lists or mappings, which a text of a shell has to be read as."""
    parts = alternatives(hint)
    return str not in parts and any(get_origin(part) in (list, tuple, dict) or is_dataclass(part) for part in parts)


def holds_sections(hint: Any) -> bool:
    """Whether values of a type are lists of mappings whose keys are known."""
    return any(is_dataclass(part) for part in get_args(hint))


def wanted(hint: Any) -> str:
    """What may be given for a key of a type, in words."""
    nouns = [_noun(part) for part in alternatives(hint) if part is not type(None)]
    return " or ".join([*dict.fromkeys(nouns), *(["null"] if type(None) in alternatives(hint) else [])])


def alternatives(hint: Any) -> tuple[Any, ...]:
    """The types that a union is of; of any other type itself."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _noun(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(str, get_args(hint)))}"
    if is_dataclass(hint):
        return f"a mapping of {', '.join(field.name for field in fields(hint))}"
    of = get_args(hint)
    noun = NOUNS.get(get_origin(hint) or hint, "another value")
    items = "mappings" if holds_sections(hint) else {int: "whole numbers", float: "numbers"}.get(of[0]) if of else None
    count = f"{len(of)} " if get_origin(hint) is tuple and ... not in of else ""
    return f"{noun} of {count}{items}" if items else noun


def read_texts(values: Mapping[str, Any], kind: type, method: type | None = None, prefix: str = "") -> dict[str, Any]:
    """A copy of the values, with those texts read that stand for lists, mappings and numbers.

    Raises:
        UserError: for a text that is no YAML, or a number that could be meant in two ways, as 010.
    """
    hints = key_types(kind, method)
    return {
        key: deepcopy(value) if hints.get(key) is None else _read_value(f"{prefix}{key}", value, hints[key])
        for key, value in values.items()
    }


def _read_value(key: str, value: Any, hint: Any) -> Any:
    return _read_part(key, _read(key, value) if isinstance(value, str) and holds_parts(hint) else value, alternatives(hint), hint)


def _read_part(key: str, value: Any, parts: Sequence[Any], hint: Any) -> Any:
    """A value of one of the types `parts`, which is the key's, of type `hint`, or an item of its list."""
    if isinstance(value, Mapping):
        section = next((part for part in parts if isinstance(part, type) and is_dataclass(part)), None)
        return deepcopy(value) if section is None else read_texts(value, section, prefix=f"{key}.")
    if isinstance(value, list):
        inner = [one for part in parts if get_origin(part) in (list, tuple) for one in get_args(part) if one is not ...]
        inner = [part for one in inner for part in alternatives(one)]
        return [_read_part(key, item, inner, hint) for item in value] if inner else deepcopy(value)
    if type(value) in (int, float) and type(value) in _of_a_list(parts):
        return [value]
    return _number(key, value, parts, hint) if isinstance(value, str) else deepcopy(value)


def _of_a_list(parts: Sequence[Any]) -> tuple[type, ...]:
    """Types of number that an item may have of a key which takes a list of any length and nothing else; none for any other."""
    lists = [part for part in parts if part is not type(None)]
    if len(lists) != 1 or get_origin(lists[0]) not in (list, tuple):
        return ()
    first, *more = get_args(lists[0])
    return () if more not in ([], [...]) else {int: (int,), float: (int, float)}.get(first, ())


def _number(key: str, text: str, parts: Sequence[Any], hint: Any) -> Any:
    """The number that a text is, where one is wanted and it has a digit; the parser would take other spellings, too."""
    kinds = [kind for kind in (int, float) if kind in parts]
    if not kinds or str in parts or not any(map(str.isdigit, text)):
        return text
    found = next((number for kind in kinds if (number := number_of(text, kind)) is not None), None)
    if found is None:
        raise UserError(f"{key} is {text!r}; give {wanted(hint)}")
    return found


def _read(key: str, text: str) -> Any:
    try:
        return yaml.load(text, PlainLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{key} is {text!r}, which is no YAML ({' '.join(str(error).split())})") from error
