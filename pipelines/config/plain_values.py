"""Plain nested values: what YAML, JSON, MLflow's parameters and the command line hold of a configuration."""

from __future__ import annotations

from typing import Any


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
