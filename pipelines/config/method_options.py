"""Which method a training configuration is for: `method.name` picks the spec, a command has one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from algos.methods.registry import method_spec
from algos.methods.spec import MethodSpec
from pipelines.errors import UserError


@contextmanager
def method_refusals() -> Iterator[None]:
    """Turn what a method refuses into an error that a user can act on.

    Raises:
        UserError: for a `ValueError`.
    """
    try:
        yield
    except ValueError as error:
        raise UserError(str(error)) from error


def command_method(name: str, command: str) -> MethodSpec:
    """The spec of the method `name`, which the command must train.

    Raises:
        UserError: for an unknown method, or one of another command.
    """
    with method_refusals():
        spec = method_spec(name)
    if spec.command != command:
        raise UserError(f"method.name is {name!r}, which quorum {spec.command} trains, not quorum {command}; use that command")
    return spec


def method_type(kind: type[Any], name: str | None) -> type | None:
    """The type of the section `method` in a configuration of type `kind`; `None` for one without a method.

    Args:
        kind: says by `default_method` that it has one.
        name: of the method; `None` for the default.

    Raises:
        UserError: for an unknown method, or one of another command.
    """
    own: str | None = getattr(kind, "default_method", None)
    if own is None:
        return None
    settings: type = command_method(name or own, kind.kind).config_type
    return settings
