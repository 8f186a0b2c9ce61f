"""An option of a command: read off a function's signature or a configuration's fields, so that neither is written twice."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring

from pipelines.config.key_types import alternatives

REQUIRED = inspect.Parameter.empty
NAMES = {int: "N", float: "X", str: "TEXT"}
PATHS = (
    "data",
    "to",
    "storage",
    "labels",
    "init_from",
    "start_from",
    "resume",
    "config",
    "recipe",
    "list",
    "listed",
    "source",
    "run",
    "clusters",
    "from",
    "known",
)


@dataclass(frozen=True)
class Option:
    """One option.

    Attributes:
        key: as a recipe or a function spells it, for example `method.dim`.
        hint: its type.
        default: or `REQUIRED`.
        text: what it means.
    """

    key: str
    hint: Any
    default: Any
    text: str

    @property
    def is_flag(self) -> bool:
        """Whether it is given without a value: `--key`, `--no-key`."""
        return bool in alternatives(self.hint)

    @property
    def section(self) -> str:
        """The part of its key before the dot; empty for a top-level key."""
        return self.key.rpartition(".")[0]

    @property
    def metavar(self) -> str:
        """What stands for its value in a help page."""
        if self.key in PATHS:
            return "PATH"
        return _named(self.hint)


def _named(hint: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        return "|".join(map(str, get_args(hint)))
    if len(parts := alternatives(hint)) > 1:
        return "|".join(dict.fromkeys(_named(part) for part in parts if part is not type(None)))
    if origin is dict:
        return "MAPPING"
    return "LIST" if origin in (list, tuple, typing.Sequence, Sequence) else NAMES.get(hint, "TEXT")


def options_of_function(function: Callable[..., Any], *, without: Sequence[str] = ()) -> dict[str, Option]:
    """The named parameters of a function, except those that collect the rest and those named in `without`."""
    texts, found = _texts(function), {}
    given = {name: hint for name, hint in function.__annotations__.items() if name not in ("return", *without)}
    hints = get_type_hints(types.SimpleNamespace(__annotations__=given), globalns=inspect.unwrap(function).__globals__)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL) and name not in without:
            found[name] = Option(name, hints[name], parameter.default, texts.get(name, ""))
    return found


def options_of_config(kind: type, sections: Mapping[str, type] | None = None, prefix: str = "") -> dict[str, Option]:
    """The keys of a configuration, those of its sections by their dotted names.

    Args:
        kind: dataclass of the configuration.
        sections: dataclass of a section whose type the configuration leaves open, by its key.
        prefix: what the keys begin with.
    """
    texts = {name: text for base in reversed(kind.__mro__) if is_dataclass(base) for name, text in _texts(base).items()}
    hints = {**get_type_hints(kind), **(sections or {})}
    found: dict[str, Option] = {}
    for field in dataclasses.fields(kind):
        key, hint = f"{prefix}{field.name}", hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            found |= _with_defaults(options_of_config(hint, prefix=f"{key}."), field)
        else:
            found[key] = Option(key, hint, _default(field), texts.get(field.name, ""))
    return found


def _with_defaults(options: dict[str, Option], field: dataclasses.Field[Any]) -> dict[str, Option]:
    """Options of a section, whose defaults the configuration may have changed."""
    if field.default_factory is dataclasses.MISSING:
        return options
    section = field.default_factory()
    return {
        key: dataclasses.replace(option, default=getattr(section, key.rpartition(".")[2], option.default))
        for key, option in options.items()
    }


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return REQUIRED if field.default is dataclasses.MISSING else field.default


def _texts(documented: Any) -> dict[str, str]:
    """What a docstring says of each parameter or attribute."""
    parsed = parse_docstring(inspect.getdoc(documented) or "")
    return {part.arg_name.lstrip("*"): re.sub(r"\s+", " ", part.description or "") for part in parsed.params}
