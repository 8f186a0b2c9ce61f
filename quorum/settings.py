"""A configuration from what a user gives: a recipe by name or path, a configuration object, and keywords on top of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pipelines.errors import UserError
from quorum.arguments import is_of_numpy

if TYPE_CHECKING:
    import pandas as pd


class Configuration(Protocol):
    """What every command's configuration can say of itself."""

    def to_dict(self) -> dict[str, Any]:
        """Plain nested values, as a recipe holds them."""


Config = TypeVar("Config", bound=Configuration)
WHOLE = ("space",)  # mappings of the user's own keys: given anew, they replace what was there
SHORT = {
    "workers": "compute.workers",
    "gpu": "compute.gpu",
    "grace": "compute.grace",
}  # options that every command calls the same


def build_config(
    kind: type[Config],
    config: str | Path | Mapping[str, Any] | Config | None,
    settings: Mapping[str, Any] | None,
    keys: Mapping[str, Any],
) -> Config:
    """The configuration of type `kind`; of values that do nothing beside the others it is told.

    Args:
        kind: dataclass of the configuration.
        config: recipe by name or path, plain values that a run stored, a configuration object, or `None` for the defaults.
        settings: values by their dotted keys, as `method.dim`; they go over `keys`.
        keys: top-level keys. Of both, a mapping sets keys of a section and leaves the others of the section as they are.

    Raises:
        UserError: for a recipe, key or value that is not valid.
    """
    from pipelines.config.idle_keys import remarks
    from pipelines.config.plain_values import flatten
    from pipelines.config.recipe import is_shipped, read_values
    from pipelines.config.typed_options import from_values, with_settings
    from pipelines.words import tell

    if config is None:
        values: Mapping[str, Any] = {}
    elif isinstance(config, str | Path):
        values = read_values(str(config), kind)
    elif isinstance(config, Mapping):
        values = config
    elif isinstance(config, kind):
        values = config.to_dict()
    else:
        raise UserError(f"{type(config).__name__} is no configuration of this command; give a {kind.__name__} or a recipe")
    given = {**spread(keys), **spread(settings or {})}
    made = from_values(with_settings(values, given), kind)
    is_own = not isinstance(config, Mapping) and not (isinstance(config, str | Path) and is_shipped(str(config)))
    for sentence in remarks(made, flatten(given), flatten(dict(values)) if is_own else ()):
        tell(sentence)
    return made


def with_short_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same with the full names of keys that every command calls by a short one, and values as a recipe holds them.

    Raises:
        UserError: for a value of a type that no recipe holds.
    """
    if (odd := next((key for key in settings if not isinstance(key, str)), None)) is not None:
        raise UserError(f"{odd!r} is no key of a configuration; keys are text, as 'method.dim'")
    plain = {SHORT.get(key, key): _plain(value) for key, value in settings.items()}
    for key, value in plain.items():
        if not (value is None or isinstance(value, bool | int | float | str | list | Mapping)):
            raise UserError(f"{key} is a value of type {type(value).__name__}; give a number, text, a list or a mapping of such")
    return plain


def spread(keys: Mapping[str, Any]) -> dict[str, Any]:
    """Keywords or settings by dotted keys, under their full names."""
    from pipelines.config.typed_options import dotted

    return dotted(with_short_names(keys), WHOLE)


def _plain(value: Any) -> Any:
    """What a recipe holds for a value: of a data set, labels or a run its path, of a section's dataclass its keys.

    Numbers and arrays of numpy are Python's numbers and lists.
    """
    if is_of_numpy(value):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type) and not hasattr(value, "path"):
        return asdict(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return getattr(value, "path", value)


def placed(to: str | Path | None) -> dict[str, str]:
    """The keys `storage` and `name` of a run whose folder is `to`."""
    if to is None:
        return {}
    place, mark, query = str(to).partition("?")  # a URI's query holds its endpoint, which goes with the storage
    base, slash, name = place.rstrip("/").rpartition("/")
    if not name or base.endswith("/"):  # the root of a disk, or a bucket
        raise UserError(f"to is {str(to)!r}, which is no folder of a run; give one below it")
    return {"storage": f"{base or slash or '.'}{mark}{query}", "name": name}


def with_place(to: str | Path | None, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keys with those that `to` stands for.

    Raises:
        UserError: for a place that is given twice.
    """
    if to is not None and {"storage", "name"} & keys.keys():
        raise UserError("to is the run's folder, which storage and name say in two parts; give one of the two")
    return {**placed(to), **keys}


def resumed_config(
    kind: Any,
    place: str | Path,
    config: Any,
    changeable: Sequence[str],
    settings: Mapping[str, Any] | None,
    keys: Mapping[str, Any],
) -> Any:
    """The configuration of type `kind` that the run in a folder stored, with what its resume changes.

    Raises:
        UserError: for a recipe beside the run's own configuration, or a key that may not change.
    """
    if config is not None:
        raise UserError("resume takes the run's own configuration; leave out the recipe")
    given = {**spread(keys), **spread(settings or {})}
    check_changes(given, changeable)
    from pipelines.config.recipe import stored_values
    from pipelines.runs.run_folder import Run as RunFolder

    return build_config(kind, stored_values(RunFolder.open(str(place), kind=kind.kind).config_file()), given, {})


def check_changes(given: Mapping[str, Any], changeable: Sequence[str]) -> None:
    """Refuse keys that a resumed run may not change.

    Raises:
        UserError: naming the key and those that may.
    """
    for key in given:
        if not any(key == part or (part.endswith(".") and key.startswith(part)) for part in changeable):
            raise UserError(
                f"{key} cannot change in a resumed run, whose result must equal one that never stopped; "
                f"what may: {', '.join(part.rstrip('.') for part in changeable)}"
            )


def recipes() -> pd.DataFrame:
    """The shipped recipes: name, command and what each is for; a name is what `pretrain`, `semisup` and `sweep` take."""
    import pandas as pd

    from pipelines.config.recipe import list_recipes

    return pd.DataFrame([vars(recipe) for recipe in list_recipes()]).set_index("name")
