"""Figures on their way to MLflow: written to a local journal first, so that a server that goes away loses nothing.

The journal is a file of JSON lines; beside it, a small file says how many of them MLflow has. A resumed run sends the rest.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.storage import Location

RETRY_SECONDS = 10.0
BATCH = 500  # entries of a request; MLflow takes 1000 metrics
os.environ.setdefault(
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"
)  # the journal retries; the client's own minutes of back-off would only delay
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_SKILLS_PROMPT", "1")


@dataclass(frozen=True)
class RunAddress:
    """Where a run is recorded: tracking URI, experiment and run id."""

    uri: str
    experiment_id: str
    run_id: str


def tracking_uri(configured: str | None, storage: Location) -> str:
    """The configured URI, `MLFLOW_TRACKING_URI`, or a sqlite file beside the runs."""
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return uri
    folder = storage.path if storage.is_local else os.path.abspath("outputs")
    return f"sqlite:///{folder}/mlflow.db"


def start_run(
    uri: str, experiment: str, name: str, storage: Location, params: dict[str, Any], tags: dict[str, str]
) -> RunAddress:
    """Create a run with its parameters and tags.

    Raises:
        UserError: when no tracking server answers.
    """
    from mlflow.exceptions import MlflowException  # seconds to import, and the command line shows its help without it
    from mlflow.tracking import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import has set INFO
    try:
        if uri.startswith("sqlite:///"):
            Path(uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        local = uri.startswith("sqlite:///")
        artifacts = f"file://{Path(uri.removeprefix('sqlite:///')).parent}/mlartifacts" if local else None
        experiment_id = found.experiment_id if found else client.create_experiment(experiment, artifact_location=artifacts)
        run = client.create_run(experiment_id, run_name=name, tags=tags)
        _log_params(client, run.info.run_id, params)
    except MlflowException as error:
        raise UserError(
            f"MLflow at {uri} does not answer ({_first_line(error)}); start it, or correct tracking.uri or MLFLOW_TRACKING_URI"
        ) from error
    return RunAddress(uri, experiment_id, run.info.run_id)


def _log_params(client: Any, run_id: str, params: dict[str, Any]) -> None:
    from mlflow.entities import Param

    items = [Param(key, str(value)[:6000]) for key, value in params.items()]
    for start in range(0, len(items), 100):
        client.log_batch(run_id, params=items[start : start + 100])


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", maxsplit=1)[0][:200]


class Tracker:
    """Writes figures and files to the journal and, from a thread of its own, to MLflow.

    Args:
        folder: local folder of the journal.
        address: the run.
    """

    def __init__(self, folder: Path, address: RunAddress) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.address = address
        self.journal, self.mark = folder / "journal.jsonl", folder / "journal.sent"
        self.messages: list[str] = []
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        self._sent = int(self.mark.read_text()) if self.mark.exists() else 0
        self._entries: list[dict[str, Any]] = [json.loads(line) for line in lines[self._sent :]]
        self._file = self.journal.open("a")
        self._lock, self._news, self._closing = threading.Lock(), threading.Event(), threading.Event()
        self._away = False
        self._thread = threading.Thread(target=self._send_all, name="mlflow", daemon=True)
        self._thread.start()

    def metrics(self, values: dict[str, float], step: int) -> None:
        """Record figures of a step."""
        self._add({"kind": "metrics", "step": step, "time": int(time.time() * 1000), "values": values})

    def artifact(self, path: Path, folder: str) -> None:
        """Record a file, which must stay where it is."""
        self._add({"kind": "artifact", "path": str(path), "folder": folder})

    def tag(self, key: str, value: str) -> None:
        """Set a tag of the run."""
        self._add({"kind": "tag", "key": key, "value": value})

    def history(self) -> list[dict[str, Any]]:
        """Every entry of the journal, also of earlier parts of a resumed run."""
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def status(self, status: str) -> None:
        """Set the run's status: RUNNING, FINISHED, FAILED or KILLED."""
        self._add({"kind": "status", "status": status})

    def close(self, timeout: float = 30.0) -> None:
        """Send what is left, for at most `timeout` seconds, and say what could not be sent."""
        self._closing.set()
        self._news.set()
        self._thread.join(timeout)
        self._file.close()
        if self._entries:
            self.messages.append(
                f"{len(self._entries)} entries did not reach MLflow; they are in {self.journal} and go out with a resume"
            )

    def _add(self, entry: dict[str, Any]) -> None:
        with self._lock:
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
            self._entries.append(entry)
        self._news.set()

    def _send_all(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            closing = self._closing.is_set()
            while self._entries and self._send_some():
                pass
            if closing:
                return
            if self._entries:
                self._closing.wait(RETRY_SECONDS)
                self._news.set()

    def _send_some(self) -> bool:
        batch = self._entries[:BATCH]
        try:
            _deliver(self.address, batch)
        except Exception as error:  # whatever it is, tracking must not stop a training
            if not self._away:
                self.messages.append(
                    f"MLflow at {self.address.uri} is away ({_first_line(error)}); training goes on, "
                    f"figures wait in {self.journal}"
                )
            self._away = True
            return False
        if self._away:
            self.messages.append(f"MLflow at {self.address.uri} is back; sending what waited")
        self._away = False
        with self._lock:
            del self._entries[: len(batch)]
            self._sent += len(batch)
            self.mark.write_text(str(self._sent))
        return True


def _deliver(address: RunAddress, entries: list[dict[str, Any]]) -> None:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address.uri)
    metrics = [
        Metric(key, value, entry["time"], entry["step"])
        for entry in entries
        if entry["kind"] == "metrics"
        for key, value in entry["values"].items()
    ]
    for start in range(0, len(metrics), 1000):
        client.log_batch(address.run_id, metrics=metrics[start : start + 1000])
    for entry in entries:
        if entry["kind"] == "artifact":
            client.log_artifact(address.run_id, entry["path"], entry["folder"])
        elif entry["kind"] == "tag":
            client.set_tag(address.run_id, entry["key"], entry["value"])
        elif entry["kind"] == "status":
            change = client.update_run if entry["status"] == "RUNNING" else client.set_terminated
            change(address.run_id, entry["status"])
