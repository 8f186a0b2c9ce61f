"""The type of a configuration's key, and what a user calls it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml

from pipelines.config.plain_values import PlainLoader, is_number
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
    return f"{noun} of whole numbers" if of[:1] == (int,) else f"{noun} of numbers" if of[:1] == (float,) else noun


def read_texts(values: Mapping[str, Any], kind: type, method: type | None = None, prefix: str = "") -> dict[str, Any]:
    """A copy of the values, with those texts read that stand for lists and mappings.

    Raises:
        UserError: for a text that is no YAML, or a number that could be meant in two ways, as 010.
    """
    found = {}
    for key, value in values.items():
        hint = key_types(kind, method).get(key)
        if isinstance(value, Mapping) and isinstance(hint, type) and is_dataclass(hint):
            found[key] = read_texts(value, hint, prefix=f"{prefix}{key}.")
            continue
        is_text_of_parts = isinstance(value, str) and hint is not None and holds_parts(hint)
        found[key] = _read(f"{prefix}{key}", value) if is_text_of_parts else deepcopy(value)
        if hint is not None:
            _check_numbers(f"{prefix}{key}", found[key], hint)
    return found


def _check_numbers(key: str, value: Any, hint: Any) -> None:
    """Refuse texts with digits that are no plain numbers, where a number is wanted: the parser takes more than one kind."""
    items, kinds = [value], [*alternatives(hint)]
    if isinstance(value, list):
        items, kinds = value, [one for part in kinds if get_origin(part) in (list, tuple) for one in get_args(part)]
    number = next((kind for kind in (float, int) if kind in kinds), None)
    if number is None or str in kinds:
        return
    for item in items:
        if isinstance(item, str) and any(map(str.isdigit, item)) and not is_number(item, number):
            raise UserError(f"{key} is {item!r}; give {wanted(hint)}")


def _read(key: str, text: str) -> Any:
    try:
        return yaml.load(text, PlainLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{key} is {text!r}, which is no YAML ({' '.join(str(error).split())})") from error
