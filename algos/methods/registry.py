"""The methods that there are, found by their place: each folder beside this module that has a module `spec` is one."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

import algos.methods
from algos.methods.spec import MethodSpec


def method_specs() -> dict[str, MethodSpec]:
    """The spec of every method by name."""
    folders = sorted(found.name for found in pkgutil.iter_modules(algos.methods.__path__) if found.ispkg)
    specs: list[MethodSpec] = [importlib.import_module(f"algos.methods.{folder}.spec").SPEC for folder in folders]
    return {spec.name: spec for spec in specs}


def method_spec(name: str) -> MethodSpec:
    """The spec of one method.

    Raises:
        ValueError: for an unknown name, with the nearest that is known.
    """
    specs = method_specs()
    if name not in specs:
        near = difflib.get_close_matches(name, specs, n=1)
        raise ValueError(f"method.name is {name!r}; " + (f"nearest: {near[0]}" if near else f"choose one of {', '.join(specs)}"))
    return specs[name]
