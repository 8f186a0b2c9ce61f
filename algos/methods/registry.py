"""The methods that there are, found by their place: each folder beside this module that has a module `spec` is one."""

from __future__ import annotations

import difflib
import importlib.util
import pkgutil

import algos.methods
from algos.methods.spec import MethodSpec


def method_specs() -> dict[str, MethodSpec]:
    """The spec of every method by name.

    Raises:
        ValueError: for a module `spec` that holds none, and for two methods of one name.
    """
    folders = sorted(found.name for found in pkgutil.iter_modules(algos.methods.__path__) if found.ispkg)
    found: dict[str, MethodSpec] = {}
    for module in (f"algos.methods.{folder}.spec" for folder in folders):
        try:
            if importlib.util.find_spec(module) is None:  # a folder of something else
                continue
            spec: MethodSpec = importlib.import_module(module).SPEC
            name = spec.name
        except Exception as error:  # somebody's own module, which may raise what it likes
            raise ValueError(f"{module} holds no SPEC of a method ({error}); mend it, or take its folder away") from error
        if found.setdefault(name, spec) is not spec:
            raise ValueError(f"{module} has a method of the name {name!r}, as another folder has; give it a name of its own")
    return found


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
