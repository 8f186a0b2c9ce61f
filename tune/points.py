"""What tells runs apart: the searched keys of a sweep's trials, or the parameters in which any runs differ."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.config.old_configs import converted_parameters
from pipelines.errors import UserError

# How a run was made, not what was tried; rows that follow from data and from labels.rule; how often losses are written and
# pictures drawn, which no score sees. What else is monitored is a setting: it is the score, or among how many the best is chosen.
IGNORED = (
    "seed", "name", "storage", "to", "labels", "labels.count", "data.rows", "data.fingerprint", "monitor.log_steps",
    "monitor.picture_epochs",
)  # fmt: skip
IGNORED_PARTS = ("tracking.", "compute.", "checkpoint.")
COUNTED = ("compute.precision",)  # of these parts: it is the arithmetic of the networks
DEFAULTS = {  # of trainings that were recorded before there was such a key
    "compute.precision": "fp32", "monitor.split": "None", "monitor.feature_epochs": "None", "monitor.feature_images": "2000",
}  # fmt: skip
KEPT_IN = ("name", "storage", "to")
EXACT = 2**53  # up to which every integer is a float too
LABEL_SEED = re.compile(r", seed (\d+)$")  # at the end of a rule of `quorum labels`


def point_of_tag(tags: Mapping[str, str], name: str) -> tuple[dict[str, Any], str]:
    """Point and seed of a sweep's trial, from its tags.

    Raises:
        UserError: when the point is no JSON object.
    """
    try:
        point = json.loads(tags["quorum.point"])
    except ValueError:
        point = None
    if not isinstance(point, dict):
        raise UserError(f"run {name}: its tag quorum.point is {tags['quorum.point']!r}, which is no JSON object; correct the tag")
    return point, tags.get("quorum.seed", "")


def differing(params: Sequence[Mapping[str, str]]) -> list[tuple[dict[str, Any], str]]:
    """Point and seed of each run by the parameters in which the runs differ.

    Labels chosen by the same rule with another seed are a repetition too: their seed becomes a part of the run's.
    A copy of the same data elsewhere is no difference.
    """
    params = _by_contents([_complete(converted_parameters(run)) for run in params])
    labels = [LABEL_SEED.search(run.get("labels.rule", "")) for run in params]
    label_seeds = [found[1] if found else "" for found in labels]
    plain = [{**run, "labels.rule": LABEL_SEED.sub("", run["labels.rule"])} if "labels.rule" in run else run for run in params]
    keys = sorted({key for run in plain for key in run if not _is_ignored(key, plain)})
    keys = [key for key in keys if len({run.get(key) for run in plain}) > 1]
    many_labels = len(set(label_seeds)) > 1
    return [
        (
            {key: decode(run.get(key, "None")) for key in keys},
            run.get("seed", "") + (f", labels {label_seed}" if many_labels and label_seed else ""),
        )
        for run, label_seed in zip(plain, label_seeds, strict=True)
    ]


def _complete(run: Mapping[str, str]) -> Mapping[str, str]:
    """The same with what a training of an older version had without saying it, and with what null stands for."""
    if "method.num_clusters" not in run:
        return run
    run = {**DEFAULTS, **run}
    every = run["monitor.feature_epochs"]
    return {**run, "monitor.feature_epochs": run.get("monitor.knn_epochs", every) if every == "None" else every}


def differences(params: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str]]]:
    """Each parameter that is not the same in all runs, with its value in each as a table shows it; `-` where a run has none.

    Everything that was set counts, seeds too, but where the run is kept. A copy of the same data elsewhere is no difference.
    """
    params = _by_contents([converted_parameters(run) for run in params])
    same_data = len({run.get("data.fingerprint", run.get("data")) for run in params}) == 1
    keys = sorted({key for run in params for key in run if not (key in KEPT_IN or key.startswith("tracking."))})
    keys = [key for key in keys if not (key == "data" and same_data) and len({run.get(key) for run in params}) > 1]
    return [(key, _in_a_table([run.get(key) for run in params])) for key in keys]


def _by_contents(params: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The same with the fingerprint beside the place of data, where one place had several: they were ingested again."""
    had = defaultdict[str, set[str]](set)
    for run in params:
        if "data" in run and "data.fingerprint" in run:
            had[run["data"]].add(run["data.fingerprint"])
    several = {place for place, contents in had.items() if len(contents) > 1}
    return [_of_content(run) if run.get("data") in several and "data.fingerprint" in run else run for run in params]


def _of_content(run: Mapping[str, str]) -> Mapping[str, str]:
    return {**run, "data": f"{run['data']} of {run['data.fingerprint']}"}


def _in_a_table(texts: Sequence[str | None]) -> list[str]:
    shown = iter(labels_of([_nested(decode(text)) for text in texts if text is not None]))
    return ["-" if text is None else next(shown) for text in texts]


def _nested(value: Any) -> Any:
    """Lists of mappings, which MLflow has as Python writes them."""
    try:
        return ast.literal_eval(value) if isinstance(value, str) and value[:1] in ("[", "{") else value
    except (ValueError, SyntaxError):
        return value


def _is_ignored(key: str, params: Sequence[Mapping[str, str]]) -> bool:
    if key == "data":
        return len({run.get("data.fingerprint", run.get(key)) for run in params}) == 1
    return key in IGNORED or (key.startswith(IGNORED_PARTS) and key not in COUNTED)


def decode(text: str) -> Any:
    """A parameter's value: numbers, booleans and lists as such, all else as its text."""
    try:
        return json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
    except ValueError:
        return text


def label_of(value: Any) -> str:
    """A value as a table shows it."""
    text = value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else json.dumps(value)
    return one_line(text)


def one_line(text: str) -> str:
    """A text from elsewhere as a line of a table holds it: what ends lines or moves the cursor is a space."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def labels_of(values: Sequence[Any]) -> list[str]:
    """Values of one key as a table shows them beside each other: `...` stands for what all their mappings share."""
    inner = [part for value in values for part in (value if isinstance(value, list) else [value]) if isinstance(part, Mapping)]
    shared = {key for key in inner[0] if all(key in part and part[key] == inner[0][key] for part in inner)} if inner else set()
    return [_beside(value, shared) if inner else label_of(value) for value in values]


def _beside(value: Any, shared: set[str]) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_beside(part, shared) for part in value)}]"
    if not isinstance(value, Mapping):
        return label_of(value)
    own = [f"{key} {label_of(part)}" for key, part in sorted(value.items()) if key not in shared]
    return f"{{{', '.join([*(['...'] if shared & value.keys() else []), *own])}}}"


def identity(point: Mapping[str, Any]) -> str:
    """One text for each point: equal for equal values, whatever the order of its keys and whether 1 is written 1.0."""
    return json.dumps({key: _comparable(value) for key, value in point.items()}, sort_keys=True)


def _comparable(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_comparable(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _comparable(item) for key, item in value.items()}
    return float(value) if type(value) is int and abs(value) <= EXACT else value


def spelled(point: Mapping[str, Any]) -> str:
    """A point as a person reads it, and as its tag keeps it."""
    return json.dumps(dict(point), sort_keys=True)
