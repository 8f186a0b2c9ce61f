"""Keys as version 0.1 spelled them, and what they are called now.

A stored run or sweep of that version is read by its old keys; in a recipe or on the command line an old key is refused with the
new one, so that nobody learns two spellings.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pipelines.config.plain_values import flatten
from pipelines.errors import UserError

# A key stands for itself and for all keys below it.
RENAMED = {
    "data.shards": "data", "data.split": "stream.split", "data.lanes": "stream.lanes", "data.window": "stream.window",
    "data.normalization": "stream.normalization",
    "embeddings": "data", "workers": "compute.workers", "gpu": "compute.gpu", "cpus_per_worker": "compute.cpus_per_worker",
    "max_failures": "compute.max_failures",
}  # fmt: skip

IDLE_OF_SGD = {"trust_coefficient": 0.001}  # which stored runs may have at any value, and which does nothing


def new_spelling(key: str) -> str | None:
    """What an old key is called now; `None` for a key that is not old."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return None


def refuse_old(keys: Iterable[str], where: str = "") -> None:
    """Refuse keys as version 0.1 spelled them.

    Args:
        keys: dotted.
        where: what the message begins with, for example `recipe FILE: `.

    Raises:
        UserError: with the new spelling of the first such key.
    """
    for key in keys:
        if new := new_spelling(key):
            raise UserError(f"{where}{key} is {new} now")


def old_keys(values: Mapping[str, Any]) -> list[str]:
    """Dotted keys of nested values that are spelled as in version 0.1."""
    return [key for key in flatten(dict(values)) if new_spelling(key)]


def converted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Nested values of a stored configuration with every old key under its new name."""
    found: dict[str, Any] = {}
    for old in RENAMED:
        first, _, rest = old.partition(".")
        inner = values.get(first)
        if not rest and first in values:
            found[old] = inner
        elif isinstance(inner, Mapping) and rest in inner:
            found[old] = inner[rest]
    tops = {old.partition(".")[0] for old in found}
    new = {key: value for key, value in values.items() if key not in tops}
    for old, value in found.items():
        section, _, key = RENAMED[old].rpartition(".")
        if section:
            new[section] = {**new.get(section, {}), key: value}
        else:
            new[key] = value
    for part in ("settings", "space"):  # of a sweep: keys of its base
        if isinstance(new.get(part), Mapping):
            new[part] = {new_spelling(key) or key: value for key, value in new[part].items()}
    if "method" in new:  # of a training, which goes on with the pixels that it began with
        new["stream"] = {"pixels": 1, **new.get("stream", {})}
        if isinstance(optimizer := new.get("optimizer"), Mapping) and optimizer.get("name") == "sgd":
            new["optimizer"] = {**optimizer, **{key: value for key, value in IDLE_OF_SGD.items() if key in optimizer}}
    elif "num_clusters" in new:  # of a clustering, whose batches were of the files as they are
        new.setdefault("copy", "never")
    return _without_blanks(new)


def _without_blanks(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same without a name or an address that is an empty text: these were taken once, and stood for nothing."""
    new = {**values, "tracking": {**values["tracking"]}} if isinstance(values.get("tracking"), Mapping) else {**values}
    for key, part in (("name", new), ("uri", new.get("tracking") or {})):
        if isinstance(text := part.get(key), str) and not text.strip():
            part[key] = None
    return new


def converted_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """Flat parameters of a recorded run under their new names, with the method that version 0.1 did not name."""
    new = {new_spelling(key) or key: value for key, value in parameters.items()}
    if "method.num_clusters" in new:  # a training run; each command had one method then
        new.setdefault("method.name", "protocon" if "method.refine_weight" in new else "coke")
    return new
