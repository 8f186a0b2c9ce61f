"""A model on its way to MLflow: a folder that is sent once, and then removed here."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.tracking.about.data_input import VALIDATION
from pipelines.tracking.mlflow_store import RunAddress

CHECKPOINT = "quorum.checkpoint"  # a model's tag


@dataclass(frozen=True)
class ModelEntry:
    """A model of a run.

    Attributes:
        name: of the model.
        path: folder that MLflow loads.
        checkpoint: file of the run that it was made of.
        step: of the run.
    """

    name: str
    path: str
    checkpoint: str
    step: int

    @property
    def call(self) -> str:
        """By which a journal knows it: a run that has it need not make it again."""
        return f"model-{self.name}-{self.checkpoint}"

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)

    def values(self) -> dict[str, Any]:
        """Plain values for the journal."""
        return asdict(self)


def send_model(client: Any, address: RunAddress, entry: dict[str, Any], history: Iterable[dict[str, Any]]) -> str:
    """Make a logged model of a folder that was not sent before, and remove that; returns the model's id.

    One that was begun and not finished is gone on with. It gets the figures that the journal's `history` has of its step.
    """
    from mlflow.entities import LoggedModelOutput, LoggedModelStatus

    folder = Path(entry["path"])
    model = model_of(client, address, entry["checkpoint"], entry["name"])
    if model is None:
        params = client.get_run(address.run_id).data.params
        tags = {CHECKPOINT: entry["checkpoint"]}
        model = client.create_logged_model(address.experiment_id, entry["name"], address.run_id, tags, params)
        client.log_outputs(address.run_id, [LoggedModelOutput(model.model_id, entry["step"])])
    if model.status != LoggedModelStatus.READY:
        _name_model(folder / "MLmodel", address, model)
        client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        log_figures(client, address, scores_at(history, entry["step"]), model.model_id)
    shutil.rmtree(folder)
    return str(model.model_id)


def register_model(client: Any, address: RunAddress, model: str, name: str, alias: str | None) -> str:
    """Make a model a version of a registered one, with an alias if one is given; returns the version."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    place = client.get_logged_model(model).artifact_location  # a database would look for `models:/...` in another store
    made = client.create_model_version(name, place, address.run_id, model_id=model)
    if alias:
        client.set_registered_model_alias(name, alias, made.version)
    return str(made.version)


def log_figures(client: Any, address: RunAddress, entries: Iterable[dict[str, Any]], model: str | None = None) -> None:
    """Log figures of the run, and of a model of it where one is named; an entry may name the data that they are of."""
    from mlflow.entities import Metric

    metrics = [
        Metric(key, value, entry["time"], entry["step"], model, *entry.get("data", ()))
        for entry in entries
        for key, value in entry["values"].items()
    ]
    for start in range(0, len(metrics), 1000):
        client.log_batch(address.run_id, metrics=metrics[start : start + 1000])


def model_of(client: Any, address: RunAddress, checkpoint: str, name: str | None = None) -> Any | None:
    """The model of a run's checkpoint, of that name where one is given; `None` where there is none."""
    found = client.search_logged_models([address.experiment_id], f"source_run_id = '{address.run_id}'")
    mine = (one for one in found if one.tags.get(CHECKPOINT) == checkpoint and name in (None, one.name))
    return next(mine, None)


def modelled_checkpoints(client: Any, address: RunAddress) -> set[str]:
    """Checkpoints of a run that models were made of."""
    found = client.search_logged_models([address.experiment_id], f"source_run_id = '{address.run_id}'")
    return {one.tags[CHECKPOINT] for one in found if CHECKPOINT in one.tags}


def scores_at(history: Iterable[dict[str, Any]], step: int) -> list[dict[str, Any]]:
    """Figures of one step in a journal, which tell of its model: an entry each, with the data that they are of."""
    entries = list(history)
    inputs = [entry for entry in entries if entry.get("kind") == "input" and entry["context"] == VALIDATION]
    data = {entry["counts"]["split"]: [entry["name"], entry["digest"]] for entry in inputs}
    return [
        entry | {"values": {key: value}} | ({"data": data[split]} if (split := key.partition("/")[0]) in data else {})
        for entry in entries if entry.get("kind") == "metrics" and entry["step"] == step
        for key, value in entry["values"].items()
    ]  # fmt: skip


def _name_model(file: Path, address: RunAddress, model: Any) -> None:
    """Say in a model's file which one it is; it was written before MLflow knew of it."""
    content = yaml.safe_load(file.read_text())
    about = {"artifact_path": model.artifact_location, "model_id": model.model_id, "model_uuid": model.model_id}
    file.write_text(yaml.safe_dump(content | about | {"run_id": address.run_id}, sort_keys=False))
