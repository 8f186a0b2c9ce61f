"""A run's folder: what identifies it, its configuration and its checkpoints."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any

from pipelines.config.plain_values import flatten
from pipelines.config.recipe import stored_text
from pipelines.errors import UserError
from pipelines.files.documents import damage_in_words, read_document, write_document
from pipelines.files.location import Location
from pipelines.files.storage_errors import storage_sentence
from pipelines.runs.checkpoints import CheckpointStore
from pipelines.runs.description import note, repeat_command
from pipelines.runs.provenance import changes, provenance
from pipelines.secrets import hidden, without_secrets
from pipelines.tracking.journal import read_journal
from pipelines.tracking.local_copy import fetch_journal, local_file, local_folder
from pipelines.tracking.mlflow_store import RunAddress, ended_unless_begun, start_run, tracking_uri, uri_with_secret
from pipelines.tracking.stores.addresses import absolute_address
from pipelines.words import tell

RUN_FORMAT = 1
RUN_FILE, CONFIG_FILE = "run.json", "config.yaml"
LABELS_FILE, INITIAL_FILE = "labels.json", "initial.safetensors"
BEFORE_A_RUN = (CONFIG_FILE, LABELS_FILE, INITIAL_FILE)  # what a folder gets before it is a run
BEGUN_IN = "begun_in"
SWEEP_FILE = "sweep.json"  # of a folder whose runs are trials of a sweep


def folder_name(name: str) -> str:
    """The name of a new run, which is that of its folder too, if it can be.

    Raises:
        UserError: for one that would lie elsewhere, or that nobody could type again.
    """
    unseen = any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name)
    if name in ("", ".", "..") or "/" in name or name != name.strip() or unseen:
        raise UserError(
            f"name is {name!r}, and a run's folder has its name: give one without slashes, control characters and blanks at its "
            "ends; storage is the folder that it lies in"
        )
    return name


@dataclass(frozen=True)
class Run:
    """A run's folder and what identifies it.

    `kind` is the command that made it, `begun_in` its folder then, which runs of version 0.1 do not know.
    """

    location: Location
    kind: str
    address: RunAddress
    identity: dict[str, str]
    begun_in: str = ""

    @classmethod
    def start(
        cls, location: Location, kind: str, config: dict[str, Any], fingerprint: str,
        *, uri: str | None, experiment: str, name: str, params: dict[str, Any], tags: dict[str, str], about: str = "",
    ) -> Run:  # fmt: skip
        """Make a folder a new run, with its configuration, and start its MLflow run.

        Args:
            location: the folder.
            kind: command that makes the run.
            config: plain values of its configuration.
            fingerprint: of the data.
            uri: of MLflow; null takes MLFLOW_TRACKING_URI, or a sqlite file beside the folder.
            experiment: in MLflow.
            name: in MLflow.
            params: for MLflow, besides the configuration.
            tags: for MLflow, besides the run's identity.
            about: what the run is, in words.

        Raises:
            UserError: when the folder cannot be written or MLflow does not answer.
        """
        uri = tracking_uri(uri, location.parent)
        identity = {"data": fingerprint, **provenance()}
        try:
            location.make()
            write_config(location, config)
        except OSError as error:
            raise UserError(f"{location} cannot be written: {storage_sentence(error)}") from error
        params = flatten(config) | {"data.fingerprint": fingerprint} | params
        tags = tags | identity | {"run_folder": hidden(str(location)), "kind": kind}
        tags |= note(about, repeat_command(kind, location, CONFIG_FILE))
        address = start_run(uri, experiment, name, params=params, tags=tags)
        identity = identity | {"mlflow_run": address.run_id}
        content = {"kind": kind, "mlflow": without_secrets(vars(address)), "identity": identity, BEGUN_IN: hidden(str(location))}
        with ended_unless_begun(address):
            write_document(location / RUN_FILE, content, RUN_FORMAT)
        return cls(location, kind, address, identity, hidden(str(location)))

    def go_on(self, fingerprint: str, data: str, uri: str | None) -> Run:
        """The run as it is gone on with: recorded at `uri` if that is given.

        Raises:
            UserError: when `data` has another fingerprint than the run was started on.
        """
        started = self.identity["data"]
        if fingerprint != started:
            raise UserError(
                f"{data} has fingerprint {fingerprint}, the run was started on {started}; instance ids would not match: "
                "give the same data"
            )
        if changed := changes(self.identity):
            tell(f"{self.location} was begun with {changed}: its bits may differ from here on")
        if self._is_copy():
            tell(
                f"{self.location} is a copy of {self.begun_in}, and both are the run {self.address.run_id} of MLflow, which then "
                "has figures of both; for a run of its own start one with --init-from"
            )
        return replace(self, address=replace(self.address, uri=absolute_address(uri_with_secret(uri or self.address.uri))))

    @classmethod
    def open(cls, place: str, *, kind: str | None = None) -> Run:
        """The run in a folder, made by the command `kind` where that is given.

        Raises:
            UserError: for a folder that holds no run, or one of another format or command.
        """
        location = Location.of(place)
        if not (location / RUN_FILE).exists():
            raise UserError(
                f"{place} holds no {RUN_FILE}, so it is no run; give the folder that "
                + ("quorum cluster printed" if kind == "cluster" else "a training printed, for example outputs/NAME")
            )
        content = read_document(location / RUN_FILE, RUN_FORMAT, "restore it")
        with damage_in_words(location / RUN_FILE, "restore it"):
            address, begun_in = RunAddress(**content["mlflow"]), str(content.get(BEGUN_IN, ""))
            run = cls(location, content["kind"], address, dict(content["identity"]), begun_in)
        if kind not in (None, run.kind):
            raise UserError(f"{place} is a run of quorum {run.kind}; go on with it: quorum {run.kind} --resume {quote(place)}")
        return run

    def _is_copy(self) -> bool:
        """Whether the folder that it was begun in is another, and still the same run."""
        with suppress(UserError, OSError):  # of a storage that is elsewhere, or wants its secret
            original = Location.of(self.begun_in)
            return not original.lies_in(self.location) and Run.open(self.begun_in).address.run_id == self.address.run_id
        return False

    @property
    def local_folder(self) -> Path:
        """Where journal and pictures are."""
        return local_folder(self.location)

    def config_file(self) -> str:
        """Path of the run's configuration, copied here where the run is remote."""
        return str(local_file(self.location, CONFIG_FILE))

    def history(self) -> list[dict[str, Any]]:
        """Entries of the run's journal, fetched first where the run is remote and its journal is not here."""
        fetch_journal(self.location)
        return read_journal(self.local_folder)

    @property
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(self.location / "checkpoints")


@contextmanager
def as_before_unless_begun(location: Location) -> Iterator[None]:
    """Within the block a folder becomes a run; where that is stopped or refused, it is as it was before."""
    if (location / RUN_FILE).exists():
        yield
        return
    before = {name: (location / name).read_bytes() for name in BEFORE_A_RUN if (location / name).is_file()}
    try:
        yield
    except BaseException:
        with suppress(OSError):  # what stopped it is what is to be told
            for name in () if (location / RUN_FILE).exists() else BEFORE_A_RUN:
                if name in before:
                    (location / name).write_bytes(before[name])
                else:
                    (location / name).delete_file()
        raise


def write_config(location: Location, config: dict[str, Any]) -> None:
    """Write a run's configuration, without the secrets of its addresses."""
    (location / CONFIG_FILE).write_bytes(stored_text(config))
