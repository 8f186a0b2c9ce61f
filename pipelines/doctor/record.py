"""Whether MLflow answers, and takes what a run would write there. Runs where the command is, as recorders do."""

from __future__ import annotations

import os
import re
import tempfile
import time
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from pipelines.doctor.findings import Finding, Page, fault, fine, noted
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.secrets import hidden
from pipelines.tracking.mlflow_store import asking, refuse_deleted, tracking_uri
from pipelines.tracking.stores.addresses import sqlite_file
from pipelines.tracking.stores.refusals import NO_SERVER, first_line

CHECK, TAG, FOLDER = "MLflow", "quorum.doctor", "quorum-doctor"
ADVICE = "start it, or correct --tracking.uri or MLFLOW_TRACKING_URI"
WITH_MODELS = 3  # first version of MLflow that keeps models as runs log them
MOST_OFF = 60.0  # seconds between its clock and this one
DENIED = ("403", "PERMISSION_DENIED", "read-only", "readonly", "does not let you in", "cannot be written")


def record_address(configured: str | None, storage: Location | None) -> str | None:
    """Where a run would be recorded; `None` where nothing says it.

    Raises:
        UserError: for an address that can be none, or remote storage without any.
    """
    if storage is None and not (configured or os.environ.get("MLFLOW_TRACKING_URI", "")).strip():
        return None
    return tracking_uri(configured, storage or Location.of("outputs"))


def look_at_record(uri: str, experiment: str) -> list[Finding]:
    """Ask MLflow for the experiment, set a tag of it and remove it, and write and remove a file of its pictures.

    Args:
        uri: its address, as `record_address` has it.
        experiment: that runs go to.
    """
    shown = hidden(uri)
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        try:
            return _of_new_file(file)
        except UserError as error:
            return [fault(CHECK, str(error), "", Page.MLFLOW)]
    start = time.perf_counter()
    try:
        with asking(uri, ADVICE) as client:
            found = client.get_experiment_by_name(experiment)
            if found is not None:
                if found.name != experiment:
                    raise UserError(f"what answers at {shown} is no MLflow server; {NO_SERVER}")
                refuse_deleted(found, uri)
            found = found or next(iter(client.search_experiments(max_results=1)), None)
            seconds = time.perf_counter() - start
    except UserError as error:
        return [fault(CHECK, f"{error}{_proxy_for(uri)}", "", _page(error, Page.MLFLOW))]
    findings = _server(uri)
    if found is None:
        return [*findings, noted(CHECK, f"{shown} answers, and has no experiment to try to write to", "", Page.MLFLOW)]
    try:
        with asking(uri, ADVICE) as client:
            client.set_experiment_tag(found.experiment_id, TAG, str(int(time.time())))
            client.delete_experiment_tag(found.experiment_id, TAG)
    except UserError as error:
        said, read_only = str(error), any(word in str(error) for word in DENIED)
        why = "answers and is read-only here" if read_only else "answers and does not take what is written"
        return [*findings, fault(CHECK, f"{shown} {why}: {said}", "", _page(error, Page.MLFLOW))]
    return [*findings, fine(CHECK, f"{shown} answers in {seconds:.2f} s and may be written"), *_pictures(uri, found)]


def _of_new_file(file: Path) -> list[Finding]:
    place = file.parent
    while not place.exists():
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"MLflow's file {file} cannot be made: nothing can be written in {place}; name another in --tracking.uri")
    try:
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(b"x" * 4096)
            probe.flush()
    except OSError as error:
        remedy = "free some room there, or name another in --tracking.uri"
        raise UserError(f"MLflow's file {file} cannot be made ({error.strerror}); {remedy}") from error
    return [fine(CHECK, f"{file} will be made by the first run")]


def _page(error: UserError, otherwise: Page) -> Page:
    words = ("asks who you are", "MLFLOW_TRACKING_USERNAME", "expired")
    return Page.CREDENTIAL if any(word in str(error) for word in words) else otherwise


def _proxy_for(uri: str) -> str:
    """That a proxy stands between, as an addition to a sentence."""
    from requests.utils import get_environ_proxies

    proxy = get_environ_proxies(uri).get(urlsplit(uri).scheme)
    host = urlsplit(uri).hostname
    return f" - it is asked by way of the proxy {hidden(proxy)}: if it should not be, set no_proxy={host}" if proxy else ""


def _server(uri: str) -> list[Finding]:
    """Whether the server is of a version that has all that runs write, and how far its clock is from this one, where it says."""
    if not uri.startswith(("http://", "https://")):
        return []
    try:
        answer = requests.get(f"{uri}/version", timeout=3)  # which takes a name and password out of the address
        return [*_version(uri, answer.text if answer.ok else ""), *_clock(uri, answer.headers["Date"])]
    except (OSError, ValueError, LookupError):  # a server that says neither
        return []


def _version(uri: str, said: str) -> list[Finding]:
    if not (found := re.fullmatch(r"(\d+)\.\d+\S*", said.strip())) or int(found[1]) >= WITH_MODELS:
        return []
    said = f"{hidden(uri)} is MLflow {found[0]}, which has no place for models of checkpoints"
    remedy = f"upgrade the server to MLflow {WITH_MODELS} or later, and its database (mlflow db upgrade)"
    return [noted(CHECK, said, remedy, Page.MLFLOW)]


def _clock(uri: str, date: str) -> list[Finding]:
    off = parsedate_to_datetime(date).timestamp() - time.time()
    if abs(off) < MOST_OFF:
        return []
    said = f"the clock of {hidden(uri)} is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} this machine's"
    return [noted("clock", said, "set the clocks: a time service such as chrony", Page.CLOCK)]


def _pictures(uri: str, experiment: Any) -> list[Finding]:
    """Write and remove a file where the experiment keeps those of runs."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    check, place = "MLflow's files", str(experiment.artifact_location)
    if uri.startswith("http") and (place.startswith(("/", "file:", "./")) or "://" not in place.replace(":/", "://", 1)):
        said = f"pictures go to {place} on the machine that trains, where the server may not see them"
        remedy = "start the server with --serve-artifacts, or --default-artifact-root on a bucket"
        return [noted(check, said, remedy, Page.MLFLOW)]
    try:
        store = get_artifact_repository(f"{place.rstrip('/')}/{FOLDER}", tracking_uri=uri)
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder, "probe.txt")
            probe.write_text("quorum doctor\n")
            store.log_artifact(str(probe))
        kept = _without_probe(store)
    except Exception as error:  # of as many libraries as there are places
        said = f"{hidden(place)} does not take files of runs ({first_line(error)})"
        remedy = "look at the server's artifact root and its credentials; figures arrive all the same, pictures do not"
        return [fault(check, said, remedy, Page.MLFLOW)]
    return [fine(check, f"{hidden(place)} may be written{kept}")]


def _without_probe(store: Any) -> str:
    """Delete what was written; says that it stays where MLflow can delete nothing, as in Azure's data lake."""
    try:
        store.delete_artifacts()
    except NotImplementedError:  # which MLflow raises itself where it has no way to delete; whatever refuses is a fault
        return f"; {FOLDER}/probe.txt stays there, as MLflow deletes nothing in such a place"
    return ""
