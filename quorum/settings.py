"""A configuration from what a user gives: a recipe by name or path, a configuration object, and keywords on top of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipelines.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

Config = TypeVar("Config")
WHOLE = ("space",)  # mappings of the user's own keys: given anew, they replace what was there
SHORT = {"workers": "compute.workers", "gpu": "compute.gpu"}  # options that every command calls the same


def build_config(
    kind: type[Config],
    config: str | Path | Mapping[str, Any] | Config | None,
    settings: Mapping[str, Any] | None,
    keys: Mapping[str, Any],
) -> Config:
    """The configuration of type `kind`.

    Args:
        kind: dataclass of the configuration.
        config: recipe by name or path, plain values that a run stored, a configuration object, or `None` for the defaults.
        settings: values by their dotted keys, as `method.dim`.
        keys: top-level keys; a mapping sets keys of a section and leaves the others of the section as they are.

    Raises:
        UserError: for a recipe, key or value that is not valid.
    """
    from pipelines.config.recipe import read_values
    from pipelines.config.typed_options import from_values, with_settings

    if config is None:
        values: Mapping[str, Any] = {}
    elif isinstance(config, str | Path):
        values = read_values(str(config), kind)
    elif isinstance(config, Mapping):
        values = config
    elif isinstance(config, kind):
        values = config.to_dict()  # type: ignore[attr-defined]
    else:
        raise UserError(f"{type(config).__name__} is no configuration of this command; give a {kind.__name__} or a recipe")
    return from_values(with_settings(values, {**spread(keys), **with_short_names(settings or {})}), kind)


def with_short_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the full names of keys that every command calls by a short one."""
    return {SHORT.get(key, key): value for key, value in settings.items()}


def spread(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords as dotted keys."""
    spread: dict[str, Any] = {}
    for key, value in keys.items():
        name = SHORT.get(key, key)
        is_section = isinstance(value, Mapping) and key not in WHOLE
        parts = {f"{name}.{inner}": given for inner, given in value.items()} if is_section else {name: value}
        spread |= {key: str(given) if isinstance(given, Path) else given for key, given in parts.items()}
    return spread


def placed(to: str | Path | None) -> dict[str, str]:
    """The keys `storage` and `name` of a run whose folder is `to`."""
    if to is None:
        return {}
    place, mark, query = str(to).partition("?")  # a URI's query holds its endpoint, which goes with the storage
    storage, _, name = place.rstrip("/").rpartition("/")
    return {"storage": f"{storage or '.'}{mark}{query}", "name": name}


def recipes() -> pd.DataFrame:
    """The shipped recipes: name, command and what each is for; a name is what `pretrain`, `semisup` and `sweep` take."""
    import pandas as pd

    from pipelines.config.recipe import list_recipes

    return pd.DataFrame([vars(recipe) for recipe in list_recipes()]).set_index("name")
