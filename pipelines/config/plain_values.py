"""Plain nested values: what YAML, JSON, MLflow's parameters and the command line hold of a configuration."""

from __future__ import annotations

import re
from typing import Any

import yaml

WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
NUMBER = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)
INT_TAG, FLOAT_TAG = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
FIRST = [*"-+.0123456789"]


class PlainLoader(yaml.SafeLoader):
    """YAML whose numbers mean what they do everywhere else: decimal ones.

    In YAML 1.1 010 is 8, 1:30 is 90 and 1_0 is 10; here they are texts, which no number is read of.
    """


PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, shape) for tag, shape in resolvers if tag not in (INT_TAG, FLOAT_TAG)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
PlainLoader.add_implicit_resolver(INT_TAG, re.compile(rf"(?:{WHOLE.pattern})$"), FIRST)
PlainLoader.add_implicit_resolver(  # with a point, as YAML 1.1 has it: a digest in hexadecimal may look like 12e34
    FLOAT_TAG, re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"), FIRST
)


def is_number(text: str, kind: type) -> bool:
    """Whether a text is one of `int` or `float` as everybody writes it: decimal, in ASCII, without leading zeros."""
    return (WHOLE if kind is int else NUMBER).fullmatch(text.strip()) is not None


def plain(value: Any) -> Any:
    """Nested values with lists for tuples, as YAML and JSON hold them."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values as `part.key` -> value, as MLflow's parameters and the command line spell them."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, dict) else {name: value})
    return flat
