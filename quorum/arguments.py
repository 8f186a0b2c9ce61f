"""What the functions of the front door are given: values of the types that their parameters name, or one sentence."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar

from pipelines.errors import UserError

Given = ParamSpec("Given")
Result = TypeVar("Result")
COLLECTIONS = ("Sequence", "list", "Mapping")
NOUNS = {
    "int": "a whole number", "float": "a number", "bool": "true or false", "str": "text", "Path": "a path", "Literal": "a word",
    "Sequence": "a list", "list": "a list", "Mapping": "a dictionary",
}  # fmt: skip
MOST_SHOWN = 60  # characters of a value
LONGEST = 1 << 63  # whole numbers beyond it fit no array


class HasPath(Protocol):
    """A result that lies somewhere."""

    @property
    def path(self) -> str:
        """Folder, file or URI."""


def checked(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """The function with its arguments checked, numpy's numbers as Python's; what a storage refuses is a sentence too.

    What is in collections, and parameters that take anything, are left to the function.

    Raises:
        UserError: for a value of another type, an empty path, and what the disk or the storage refuses.
    """
    signature = inspect.signature(function)
    kinds = {name: _kinds(str(parameter.annotation)) for name, parameter in signature.parameters.items()}
    of_names = {name for name, one in signature.parameters.items() if one.kind is one.VAR_KEYWORD}
    several = {name for name, one in signature.parameters.items() if one.kind is one.VAR_POSITIONAL}

    @functools.wraps(function)
    def _call(*given: Given.args, **named: Given.kwargs) -> Result:
        bound = signature.bind(*given, **named)
        for name, value in bound.arguments.items():
            if name in several:
                for item in value:
                    _checked(name, item, kinds[name])
            elif name not in of_names:
                is_number = is_of_numpy(value) and value.shape == ()
                plain = _plain(value) if is_number or not kinds[name] or {*kinds[name]} & {*COLLECTIONS} else value
                bound.arguments[name] = _checked(name, plain, kinds[name])
        try:
            return function(*bound.args, **bound.kwargs)
        except BrokenPipeError:  # of whoever reads what is printed
            raise
        except OSError as error:
            from pipelines.files.storage_errors import storage_sentence

            raise UserError(storage_sentence(error)) from error

    return _call


def place_of(given: str | os.PathLike[str] | HasPath) -> str:
    """Folder, file or URI of what is given by one, or as a result that lies there."""
    return os.fspath(given) if isinstance(given, str | os.PathLike) else given.path


def has_place(given: Any) -> bool:
    """Whether a value is a folder, file or URI, or a result that lies at one."""
    return isinstance(given, str | os.PathLike) or isinstance(getattr(given, "path", None), str)


def is_of_numpy(value: Any) -> bool:
    """Whether a value is a number or an array of numpy's, which need not be imported for that."""
    return type(value).__module__ == "numpy" and hasattr(value, "tolist")


def _plain(value: Any) -> Any:
    """A value with Python's numbers and lists in the place of numpy's."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.tolist() if is_of_numpy(value) else value


def _kinds(annotation: str) -> tuple[str, ...]:
    """The alternatives of an annotation; none where one of them is anything."""
    kinds = tuple(part.strip() for part in re.sub(r"\[[^]]*\]", "", annotation).split("|"))
    return () if "Any" in kinds else kinds


def _checked(name: str, value: Any, kinds: tuple[str, ...]) -> Any:
    if not kinds or (value is None and "None" in kinds):
        return value
    if not _fits(value, {*kinds}):
        told = [noun for kind, noun in NOUNS.items() if kind in kinds and not (kind == "str" and "Path" in kinds)]
        told += [f"{'an' if kind[0] in 'AEIOU' else 'a'} {kind}" for kind in kinds if kind not in (*NOUNS, "None")]
        limit = " below 2^63" if isinstance(value, int) and not isinstance(value, bool) and "int" in kinds else ""
        raise UserError(f"{name} is {_shown(value)}; give {' or '.join(told)}{limit}")
    if isinstance(value, str) and not value and "Path" in kinds:
        raise UserError(f"{name} is empty; give a path")
    return value


def _fits(value: Any, kinds: set[str]) -> bool:
    if isinstance(value, bool):
        return "bool" in kinds
    if isinstance(value, int):
        return bool({"int", "float"} & kinds) and abs(value) < LONGEST
    if isinstance(value, float):
        return "float" in kinds
    if isinstance(value, str):
        return bool({"str", "Literal"} & kinds)
    if isinstance(value, os.PathLike):
        return "Path" in kinds
    is_list = isinstance(value, Iterable) and not isinstance(value, bytes | Mapping)
    collection = ("Mapping",) if isinstance(value, Mapping) else ("Sequence", "list") if is_list else ()
    return bool({type(value).__name__, *collection} & kinds) or (bool(kinds - {*NOUNS, "None"}) and has_place(value))


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MOST_SHOWN and "\n" not in text else f"a value of type {type(value).__name__}"
