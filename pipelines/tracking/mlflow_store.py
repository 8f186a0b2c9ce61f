"""The MLflow store of a run: which it is, what is asked of it in one sentence, and how a run starts and ends there."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.secrets import hidden, is_hidden

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
    """The configured URI, `MLFLOW_TRACKING_URI`, or a sqlite file beside the runs.

    Raises:
        UserError: when the runs are on remote storage and no server is named: a local file would be lost with this machine.
    """
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return uri
    if not storage.is_local:
        raise UserError(f"storage is {storage}, so the record needs a server too: set tracking.uri or MLFLOW_TRACKING_URI")
    return f"sqlite:///{storage.path}/mlflow.db"


@contextlib.contextmanager
def asking(uri: str, advice: str, *, alone: bool = False) -> Iterator[Any]:
    """A client of the store; what goes wrong with the store inside the block is said in one sentence.

    `alone` keeps other processes that ask so out of a local store: of those that find it new, one makes its tables.

    Raises:
        UserError: with the `advice`.
    """
    if is_hidden(uri):
        raise UserError(f"the address {uri} of MLflow was stored without its secret; give --tracking.uri or MLFLOW_TRACKING_URI")
    from mlflow.exceptions import MlflowException  # seconds to import, and the command line shows its help without it
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import has set INFO
    try:
        with _held(uri) if alone else nullcontext():
            yield MlflowClient(uri)
    except ImportError as error:  # of the store's driver
        raise UserError(
            f"MLflow at {hidden(uri)} needs a package that is not installed ({first_line(error)}); install it"
        ) from error
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise UserError(f"MLflow at {hidden(uri)} does not answer ({first_line(error)}); {advice}") from error


@contextlib.contextmanager
def _held(uri: str) -> Iterator[None]:
    if (file := sqlite_file(uri)) is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        yield


def sqlite_file(uri: str) -> Path | None:
    """The file of a local store, `None` for any other."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def start_run(uri: str, experiment: str, name: str, *, params: dict[str, Any], tags: dict[str, str]) -> RunAddress:
    """Create a run with its parameters and tags.

    Raises:
        UserError: when no tracking server answers.
    """
    file = sqlite_file(uri)
    artifacts = f"file://{file.parent}/mlartifacts" if file else None
    with asking(uri, "start it, or correct tracking.uri or MLFLOW_TRACKING_URI", alone=True) as client:
        experiment_id = _experiment(client, experiment, artifacts)
        run = client.create_run(experiment_id, run_name=name, tags={key: hidden(value) for key, value in tags.items()})
        _log_params(client, run.info.run_id, params)
    return RunAddress(uri, experiment_id, run.info.run_id)


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    """Id of an experiment, which is made where it is missing: by us, or by another run that starts at the same time."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is not None:
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts))
    except MlflowException:
        if (found := client.get_experiment_by_name(name)) is None:
            raise
        return str(found.experiment_id)


def end_run(address: RunAddress, status: str) -> None:
    """Close a run that has no tracker to do it; a server that is away cannot be told.

    `status` is FINISHED, FAILED or KILLED.
    """
    with contextlib.suppress(UserError), asking(address.uri, "") as client:
        client.set_terminated(address.run_id, status)


def _log_params(client: Any, run_id: str, params: dict[str, Any]) -> None:
    from mlflow.entities import Param

    items = [Param(key, hidden(str(value))[:6000]) for key, value in params.items()]
    for start in range(0, len(items), 100):
        client.log_batch(run_id, params=items[start : start + 100])


def first_line(error: BaseException) -> str:
    """The start of what an error says."""
    return hidden(str(error).split("\n", maxsplit=1)[0])[:200]
