"""Kubernetes manifests against the schemas that the cluster's API server has, keys that these do not know named too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.helpers.places import ROOT

DEPLOY = ROOT / "deploy"
KUBERAY = DEPLOY / "kuberay"
Schema = dict[str, Any]

_TEXT = {"type": "string"}
_METADATA = {
    "type": "object", "required": ["name"],
    "properties": {"name": _TEXT, "labels": {"type": "object", "additionalProperties": _TEXT},
                   "annotations": {"type": "object", "additionalProperties": _TEXT}},
}  # fmt: skip


def documents(path: Path) -> list[dict[str, Any]]:
    """All resources of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def mistakes(resource: dict[str, Any]) -> list[str]:
    """What an API server would refuse in a resource, or drop from it without a word."""
    found = Draft202012Validator(_closed(_schema(resource["kind"]))).iter_errors(resource)
    return sorted(f"{error.json_path}: {error.message}" for error in found)


def _closed(schema: Any) -> Any:
    """The schema with every object closed whose keys it lists; as it stands the API server drops unknown ones instead."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(value) for key, value in schema.items() if key != "properties"}
    if "properties" in schema:
        made["properties"] = {key: _closed(value) for key, value in schema["properties"].items()}
        made.setdefault("additionalProperties", False)
    return made


def _schema(kind: str) -> Schema:
    job = json.loads(Path(__file__).parents[2].joinpath("deploy/schemas/rayjob.json").read_text())["properties"]["spec"]
    cluster = job["properties"]["rayClusterSpec"]
    head = cluster["properties"]["headGroupSpec"]["properties"]
    pod = head["template"]
    volume = pod["properties"]["spec"]["properties"]["volumes"]["items"]
    claim = volume["properties"]["ephemeral"]["properties"]["volumeClaimTemplate"]
    selector = {"type": "object", "properties": {"matchLabels": {"type": "object", "additionalProperties": _TEXT}}}
    replicated = {"replicas": {"type": "integer"}, "template": pod, "selector": selector}
    specs: dict[str, tuple[str, Schema]] = {
        "RayJob": ("ray.io/v1", job),
        "RayCluster": ("ray.io/v1", cluster),
        "Service": ("v1", head["headService"]["properties"]["spec"]),
        "Deployment": ("apps/v1", _object(replicated)),
        "StatefulSet": ("apps/v1", _object({**replicated, "serviceName": _TEXT,
                                            "volumeClaimTemplates": {"type": "array", "items": claim}})),
    }  # fmt: skip
    metadata = {"apiVersion": {"const": specs.get(kind, ("v1",))[0]}, "kind": {"const": kind}, "metadata": _METADATA}
    return _object(metadata | ({"spec": specs[kind][1]} if kind in specs else {}))


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "required": [*properties], "properties": properties}


def pods(resource: dict[str, Any]) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Ray's start parameters and the specification of each pod of a resource."""
    spec = resource.get("spec", {})
    spec = spec.get("rayClusterSpec", spec)
    for group in (spec.get("headGroupSpec"), *spec.get("workerGroupSpecs", ()), spec):
        if group and "template" in group:
            yield group.get("rayStartParams", {}), group["template"]["spec"]


def values(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a resource with the keys that lead to it."""
    if isinstance(node, dict | list):
        for key, value in node.items() if isinstance(node, dict) else enumerate(node):
            yield from values(value, f"{path}.{key}")
    else:
        yield path, node
