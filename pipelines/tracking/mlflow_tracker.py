"""Figures on their way to MLflow: written to a local journal first, so that a server that goes away loses nothing.

What MLflow does not have yet is sent when it is back, or by whoever records there next.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
import time
from pathlib import Path
from typing import Any

from pipelines.files.storage_errors import said_of
from pipelines.secrets import hidden
from pipelines.tracking.about.data_input import DataInput, mlflow_input
from pipelines.tracking.about.model_entry import ModelEntry, log_figures, model_of, send_model
from pipelines.tracking.journal import Journal
from pipelines.tracking.mlflow_store import RunAddress, with_secret
from pipelines.tracking.stores.refusals import first_line, in_brief
from pipelines.words import counted

RETRY_SECONDS, CLOSING_RETRY_SECONDS = 10.0, 1.0
REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")  # also said by a database that is busy, and of a run that is deleted
TRIES = 3  # of an entry that is refused while others are taken
OF_FILES = ("artifact", "model")  # kinds of entries that go to the artifact store too
MODEL_SECONDS = 600.0  # that a model may take on its way at the end, where the store answers
BATCH = 500  # entries of a request; MLflow takes 1000 metrics


class Tracker:
    """Writes figures and files to the journal and, from a thread of its own, to MLflow.

    Args:
        folder: local folder of the journal.
        address: the run.
    """

    def __init__(self, folder: Path, address: RunAddress) -> None:
        self.address, self.journal = with_secret(address), Journal(folder)
        self.messages: list[str] = []
        if damaged := self.journal.damaged:
            self.messages.append(f"{damaged} lines of {self.journal.path} are damaged and left out; MLflow may have them")
        self._lock, self._news, self._closing = threading.Lock(), threading.Event(), threading.Event()
        self._away, self._refused, self._batch, self._full = False, 0, BATCH, False
        self._tries = {True: 0, False: 0}  # in vain, of files and of others, since one of that kind was taken
        self._gone: list[Path] = []  # what MLflow was to get and has not
        self._deadline, self._more = 0.0, 0.0  # of the close, and the seconds more that models have while the store answers
        self._thread = threading.Thread(target=self._send_all, name="mlflow", daemon=True)
        self._thread.start()

    def metrics(
        self, values: dict[str, float], step: int, *, call: str | None = None, data: DataInput | None = None,
        checkpoint: str | None = None,
    ) -> None:  # fmt: skip
        """Record figures of a step, perhaps as those of a checkpoint's model on some data; of a known `call` nothing."""
        on = ({"data": [data.name, data.digest]} if data else {}) | ({"checkpoint": checkpoint} if checkpoint else {})
        self._add({"kind": "metrics", "step": step, "time": int(time.time() * 1000), "values": values} | on, call)

    def system(self, readings: dict[str, float], number: int) -> None:
        """Record what machines are doing; `number` counts the readings of a run."""
        self._add({"kind": "system", "step": number, "time": int(time.time() * 1000), "readings": readings})

    def model(self, model: ModelEntry) -> None:
        """Record a model, whose folder stays where it is until MLflow has it; what is known already is not told again."""
        known, path = self.journal.knows(model.call), self._within(Path(model.path))
        self._add({"kind": "model"} | model.values() | {"path": path}, model.call)
        if known and path not in [entry.get("path") for entry in self.journal.waiting]:
            model.remove()

    def input(self, data: DataInput) -> None:
        """Record data that the run reads; what is known already is not told again."""
        self._add({"kind": "input"} | data.values(), data.call)

    def artifact(self, path: Path, folder: str, *, call: str | None = None) -> None:
        """Record a file, which must stay where it is, or move with the journal whose folder it is in."""
        self._add({"kind": "artifact", "path": self._within(path), "folder": folder}, call)

    def tag(self, key: str, value: str, *, call: str | None = None) -> None:
        """Set a tag of the run, without the secret of an address in it."""
        self._add({"kind": "tag", "key": key, "value": hidden(value)}, call)

    def status(self, status: str, at: int | None = None) -> None:
        """Set the run's status: RUNNING, or FINISHED, FAILED or KILLED since the time `at` in ms, now if not given."""
        self._add({"kind": "status", "status": status, "time": at or int(time.time() * 1000)})

    def note(self, kind: str, text: str) -> None:
        """Keep something in the journal that MLflow is not told, without the secret of an address in it."""
        self._add({"kind": kind, "text": hidden(text)})

    def close(self, timeout: float = 30.0) -> None:
        """Send what is left, for at most `timeout` seconds, and say what could not be sent."""
        if any(entry.get("kind") == "model" for entry in self.journal.waiting):
            self._more = MODEL_SECONDS
        self._deadline = time.monotonic() + timeout
        self._closing.set()
        self._news.set()
        while self._thread.is_alive() and time.monotonic() < self._end() + CLOSING_RETRY_SECONDS:
            self._thread.join(CLOSING_RETRY_SECONDS)
        with contextlib.suppress(OSError):
            self.journal.write()
        self.journal.close()
        if lost := self.journal.unwritten:
            self.messages.append(f"{lost} entries could not be written to {self.journal.path}; a resumed run will not know them")
        if left := len(self.journal.waiting):
            self.messages.append(
                f"{left} entries did not reach MLflow; they are in {self.journal.path} and go out when the command is given "
                "again, of a training or a probe with --resume"
            )
        if self._refused:
            self.messages.append(f"MLflow refused {self._refused} entries; they are in {self.journal.path} only")
        if self._gone:
            first = "" if len(self._gone) == 1 else ", the first of them"
            self.messages.append(
                f"{counted(len(self._gone), 'file')} that MLflow was to get {'is' if not first else 'are'} gone and left out"
                f"{first} {self._gone[0]}"
            )

    def _within(self, path: Path) -> str:
        """How the journal has a path: one in its folder from there on, for the folder may be moved."""
        path, folder = Path(os.path.abspath(path)), os.path.abspath(self.journal.path.parent)
        return str(path.relative_to(folder) if path.is_relative_to(folder) else path)

    def _add(self, entry: dict[str, Any], call: str | None = None) -> None:
        with self._lock:
            try:
                self.journal.append(entry, call)
            except OSError as error:
                self._say_full(error)
            else:
                self._full = False
        self._news.set()

    def _say_full(self, error: OSError) -> None:
        if not self._full:
            self.messages.append(f"{self.journal.path} cannot be written ({said_of(error)}); figures wait in memory until it can")
        self._full = True

    def _send_all(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            closing = self._closing.is_set()
            while self.journal.waiting and self._send_some():
                pass
            if closing and (not self.journal.waiting or time.monotonic() > self._end()):
                return
            if self.journal.waiting:
                if closing:
                    time.sleep(CLOSING_RETRY_SECONDS)
                else:
                    self._closing.wait(RETRY_SECONDS)
                self._news.set()

    def _end(self) -> float:
        """When the close is over at the latest."""
        return self._deadline + (0.0 if self._away else self._more)

    def _send_some(self) -> bool:
        """Deliver the oldest entries; False when the server is away."""
        batch = _of_one_kind(self.journal.waiting[: self._batch])
        of_files = batch[0].get("kind") in OF_FILES
        try:
            gone = _deliver(self.address, batch, self.journal)
        except Exception as error:  # whatever it is, tracking must not stop a training
            if not ((of_files or getattr(error, "error_code", None) in REFUSALS) and _takes(self.address)):
                self._say_away(error)
                return False
            if len(batch) > 1:
                self._batch = 1  # find the one that is refused
                return True
            self._tries[of_files] += 1
            if self._tries[of_files] < TRIES:
                return False
            self._say_refused(error)
        else:
            self._tries[of_files] = 0
            self._gone += gone
            self._say_back()
        self._batch = min(self._batch * 2, BATCH)
        with self._lock:
            try:
                self.journal.delivered(len(batch))
            except OSError as error:  # entries may go out twice, which MLflow does not mind
                self._say_full(error)
        return True

    def _say_away(self, error: BaseException) -> None:
        if not self._away:
            self.messages.append(
                f"MLflow at {hidden(self.address.uri)} is away ({in_brief(error)}); training goes on, "
                f"figures wait in {self.journal.path}"
            )
        self._away = True

    def _say_back(self) -> None:
        if self._away:
            self.messages.append(f"MLflow at {hidden(self.address.uri)} is back; sending what waited")
        self._away = False

    def _say_refused(self, error: BaseException) -> None:
        if self._refused == 0:
            self.messages.append(f"MLflow refuses an entry ({first_line(error)}); it stays in {self.journal.path}")
        self._refused += 1


def _of_one_kind(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The leading entries of the first one's kind, so that figures do not wait for a file that fails."""
    return list(itertools.takewhile(lambda entry: entry.get("kind") == entries[0].get("kind"), entries))


def _takes(address: RunAddress) -> bool:
    """Whether the store takes something of the run that it has already: then what it refuses is itself at fault."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address.uri)
    try:
        key, value = next(iter(client.get_run(address.run_id).data.tags.items()))
        client.set_tag(address.run_id, key, value)
    except Exception:  # any failure means no
        return False
    return True


def _deliver(address: RunAddress, entries: list[dict[str, Any]], journal: Journal) -> list[Path]:
    """Send entries; returns the files and folders that are neither here nor in MLflow."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(address.uri)
    gone = _deliver_files(client, address, entries, journal)
    figures = [entry for entry in entries if entry.get("kind") == "metrics"]
    for checkpoint, mine in itertools.groupby(figures, lambda entry: entry.get("checkpoint")):
        model = model_of(client, address, checkpoint) if checkpoint else None
        log_figures(client, address, mine, None if model is None else str(model.model_id))
    log_figures(client, address, [entry | {"values": entry["readings"]} for entry in entries if entry.get("kind") == "system"])
    if inputs := [mlflow_input(entry) for entry in entries if entry.get("kind") == "input"]:
        client.log_inputs(address.run_id, inputs)
    for entry in entries:
        if entry.get("kind") == "tag":
            client.set_tag(address.run_id, entry["key"], entry["value"])
        elif entry.get("kind") == "status":
            if entry["status"] == "RUNNING":
                client.update_run(address.run_id, "RUNNING")
            else:  # with its own time: it may be delivered much later
                client.set_terminated(address.run_id, entry["status"], end_time=entry["time"])
    return gone


def _deliver_files(client: Any, address: RunAddress, entries: list[dict[str, Any]], journal: Journal) -> list[Path]:
    gone = []
    for entry in entries:
        if entry.get("kind") not in OF_FILES:
            continue
        path = _place(entry["path"], journal.path.parent)
        if not path.exists():  # it may have been sent before the mark was moved, or from another machine
            gone += [] if _has(client, address, entry) else [path]
        elif entry["kind"] == "model":
            send_model(client, address, entry | {"path": str(path)}, journal.history())
        else:
            client.log_artifact(address.run_id, str(path), entry["folder"])
    return gone


def _place(stored: str, folder: Path) -> Path:
    """Where a file of the journal in a folder is; one that was noted by its absolute place may have moved with the folder."""
    path = folder / stored
    moved = folder.joinpath(*path.parts[-2:])
    return moved if not path.exists() and moved.exists() else path


def _has(client: Any, address: RunAddress, entry: dict[str, Any]) -> bool:
    """Whether MLflow has a file or a model already."""
    if entry["kind"] == "model":
        from mlflow.entities import LoggedModelStatus

        model = model_of(client, address, entry["checkpoint"], entry["name"])
        return model is not None and bool(model.status == LoggedModelStatus.READY)
    held = client.list_artifacts(address.run_id, entry["folder"])
    return Path(entry["path"]).name in {Path(file.path).name for file in held}
