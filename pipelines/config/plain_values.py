"""Plain nested values: what YAML, JSON, MLflow's parameters and the command line hold of a configuration."""

from __future__ import annotations

import re
from typing import Any

import yaml

_WHOLE = r"(?:0|[1-9][0-9]*|[1-9][0-9]{0,2}(?:_[0-9]{3})+)"  # 10_000 too
WHOLE = re.compile(rf"[-+]?{_WHOLE}")
NUMBER = re.compile(rf"[-+]?(?:{_WHOLE}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
SPECIAL = re.compile(r"[-+]?\.?(?:inf|nan)", re.IGNORECASE)
# As YAML 1.1 has it, with a point and a sign in the exponent: what is written there as a text, such as 12e34, stays one.
YAML_NUMBER = re.compile(
    rf"(?:[-+]?{_WHOLE}\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+(?:[eE][-+][0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
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
PlainLoader.add_implicit_resolver(FLOAT_TAG, YAML_NUMBER, FIRST)


def number_of(text: str, kind: type) -> int | float | None:
    """The `int` or the `float` of a text: decimal, in ASCII, without leading zeros; `None` where it is none."""
    plain = text.strip()
    if kind is int:
        return int(plain.replace("_", "")) if WHOLE.fullmatch(plain) else None
    if SPECIAL.fullmatch(plain):
        return float(plain.replace(".", ""))
    return float(plain.replace("_", "")) if NUMBER.fullmatch(plain) else None


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
