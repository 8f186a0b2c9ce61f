"""Recipes: where they lie, what they are called, and the typed configurations that they hold."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from algos.methods.registry import method_specs
from pipelines.config.method_options import method_refusals
from pipelines.config.old_configs import converted
from pipelines.config.plain_values import PlainLoader, flatten
from pipelines.config.published_names import is_published
from pipelines.config.typed_options import check_keys, from_values, method_name, with_settings
from pipelines.errors import UserError, nearest
from pipelines.secrets import without_secrets

DIGEST = "# digest: "  # begins a stored configuration
SHIPPED = Path(__file__).parents[2] / "quorum" / "recipes"  # beside this package, in a checkout as in an installation
Config = TypeVar("Config")


@dataclass(frozen=True)
class ShippedRecipe:
    """A recipe that travels with the package.

    Attributes:
        name: what it is called by.
        command: of the command line that takes it.
        about: the first sentence of its comment.
        path: of its file, to copy and change.
    """

    name: str
    command: str
    about: str
    path: str


def list_recipes() -> list[ShippedRecipe]:
    """The recipes that travel with the package, by name."""
    return [_describe(path) for path in sorted(SHIPPED.rglob("*.yaml"))]


def _describe(path: Path) -> ShippedRecipe:
    text = path.read_text()
    lines = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    comment = " ".join(line.lstrip("# ") for line in lines)
    sentence = re.split(r"(?<=[a-z0-9)])\. |: {2,}", comment, maxsplit=1)[0].rstrip(".") + "."
    return ShippedRecipe(_name_of(path), _command_of(yaml.safe_load(text)), sentence, str(path))


def _command_of(values: Mapping[str, Any]) -> str:
    """The command that takes a recipe of these values."""
    if "space" in values:
        return "sweep"
    if "to" in values:
        return "cluster"
    if name := method_name(values):
        with method_refusals():
            return method_specs()[name].command
    return "semisup" if "labels" in values else "pretrain"


def _name_of(path: Path) -> str:
    return path.relative_to(SHIPPED).with_suffix("").as_posix()


def find_recipe(name_or_path: str, beside: str | None = None) -> str:
    """The file of a recipe: a path, seen from the recipe that names it or from here, or the name of a shipped one.

    Args:
        name_or_path: for example `mine/try.yaml`, `coke_digits`, `sweeps/coke_ratio` or only `coke_ratio`.
        beside: file that names it.

    Raises:
        UserError: when there is none, with the nearest name of a shipped one.
    """
    found = _existing(name_or_path, beside)
    if os.path.isfile(found):
        return found
    shipped = {_name_of(path): path for path in SHIPPED.rglob("*.yaml")}
    names = {name.rpartition("/")[2]: path for name, path in shipped.items()} | shipped
    wanted = name_or_path.removesuffix(".yaml")
    if wanted in names:
        return str(names[wanted])
    if os.path.isdir(found):
        raise UserError(f"{name_or_path} is a folder, and no recipe; a run or data are given by their key, as run={name_or_path}")
    near = nearest(wanted, names) or nearest(Path(wanted).name, names)
    raise UserError(f"there is no recipe {name_or_path!r}, neither a file nor a name that quorum recipes lists{near}")


def is_shipped(name_or_path: str) -> bool:
    """Whether a recipe is one that travels with the package."""
    return Path(find_recipe(name_or_path)).is_relative_to(SHIPPED)


def _existing(path: str, beside: str | None) -> str:
    """A path that may be relative to the file `beside`, which goes before this folder; unchanged where nothing is there."""
    expanded = os.path.expanduser(path)
    if "://" in path or os.path.isabs(expanded):
        return expanded
    near = os.path.join(os.path.dirname(os.path.abspath(beside)), expanded) if beside else expanded
    return os.path.normpath(near) if os.path.exists(near) else expanded


def read_values(recipe: str, kind: type) -> dict[str, Any]:
    """The plain values of a recipe for a configuration of type `kind`, its paths such that they hold in this folder.

    Raises:
        UserError: for a recipe that is not there, no YAML or of another command, or a key that `kind` does not know, with the
            nearest valid one.
    """
    path = find_recipe(recipe)
    values = _load(path)
    _refuse_of_other_command(recipe, path, values, kind)
    check_keys(values, kind, f"recipe {recipe}: ")
    return _with_paths(values, kind, path)


def _refuse_of_other_command(recipe: str, path: str, values: Mapping[str, Any], kind: type) -> None:
    """Refuse a shipped recipe of another command: of its keys the first that this one lacks would seem to be a slip."""
    own: str | None = getattr(kind, "kind", None) if hasattr(kind, "default_method") else None
    if own and is_shipped(path) and (command := _command_of(values)) != own:
        raise UserError(f"recipe {recipe} is one of quorum {command}, not of quorum {own}; use that command")


def method_of_recipe(recipe: str | None) -> str | None:
    """What a recipe says of `method.name`; `None` where it says nothing, or there is no such recipe."""
    try:
        return None if recipe is None else method_name(_load(find_recipe(recipe)))
    except UserError:  # whoever reads the whole of it says so
        return None


class _UniqueKeys(PlainLoader):
    """YAML of plain values, in which a key comes once: of two, the first would be dropped in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping, whose keys are looked at."""
        keys = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        for place, key in enumerate(keys):
            if any(key.value == before.value for before in keys[:place]):
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} comes twice", key.start_mark)
        return super().construct_mapping(node, deep)


def _load(path: str, what: str = "recipe") -> dict[str, Any]:
    try:
        content = yaml.load(Path(path).read_text(), _UniqueKeys)
        flatten(content if isinstance(content, dict) else {})
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise UserError(f"{what} {path} is nested too deeply, or refers to itself") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{what} {path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{what} {path} holds no keys")
    return content


def _with_paths(values: dict[str, Any], kind: type, path: str) -> dict[str, Any]:
    changed = dict(values)
    for key in getattr(kind, "input_paths", ()):
        section, _, name = key.rpartition(".")
        inner = changed.get(section) if section else changed
        if isinstance(inner, Mapping) and isinstance(inner.get(name), str):
            published = name == "init_from" and is_published(inner[name])
            placed = {**inner, name: inner[name] if published else _existing(inner[name], path)}
            changed = {**changed, section: placed} if section else placed
    for key in getattr(kind, "input_recipes", ()):
        if isinstance(changed.get(key), str):
            changed[key] = find_recipe(changed[key], beside=path)
    return changed


def read_recipe(recipe: str, kind: type[Config], settings: Mapping[str, Any] | None = None) -> Config:
    """The configuration in a recipe.

    Args:
        recipe: a path or a name, see `find_recipe`.
        kind: type of the configuration.
        settings: values by dotted keys on top of the recipe's, each replacing what was there.

    Raises:
        UserError: for a file, key or value that is not valid.
    """
    return from_values(with_settings(read_values(recipe, kind), settings or {}), kind)


def stored_values(path: str) -> dict[str, Any]:
    """The plain values of a configuration that a run or a sweep stored, by this version or by 0.1.

    Raises:
        UserError: for a file that is not there, no YAML, or not as it was stored.
    """
    _check_digest(path)
    values = _load(path, "configuration")
    if not values:
        raise UserError(f"configuration {path} is empty; restore it")
    return converted(values)


def stored_text(values: Mapping[str, Any]) -> bytes:
    """What a run or a sweep stores of a configuration, without secrets: YAML below a digest of it."""
    text = yaml.safe_dump(without_secrets(dict(values)), sort_keys=False).encode()
    return f"{DIGEST}{hashlib.sha256(text).hexdigest()[:16]}\n".encode() + text


def is_as_stored(content: bytes) -> bool:
    """Whether a stored configuration is neither edited nor cut short, as far as it tells: version 0.1 kept no digest."""
    head, _, text = content.partition(b"\n")
    return not head.startswith(DIGEST.encode()) or head == f"{DIGEST}{hashlib.sha256(text).hexdigest()[:16]}".encode()


def _check_digest(path: str) -> None:
    try:
        content = Path(path).read_bytes()
    except OSError:  # which the reading says
        return
    if not is_as_stored(content):
        raise UserError(f"{path} was edited or is cut short; restore it, and give what is to change as options")


def read_stored(path: str, kind: type[Config], settings: Mapping[str, Any] | None = None) -> Config:
    """The configuration that a run or a sweep stored, by this version or by 0.1, with `settings` on top of it.

    Raises:
        UserError: for a file, key or value that is not valid.
    """
    return from_values(with_settings(stored_values(path), settings or {}), kind)
