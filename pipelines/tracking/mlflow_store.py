"""The MLflow store of a run: which it is, what is asked of it in one sentence, and how a run starts and ends there."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from filelock import FileLock

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.secrets import hidden, is_hidden
from pipelines.tracking.about.source import NAME, source_tags
from pipelines.tracking.stores.addresses import absolute_address, artifacts_beside, default_address, sqlite_file
from pipelines.tracking.stores.refusals import NO_SERVER, StoreAwayError, first_line, refusal, refuse_file
from pipelines.words import tell

os.environ.setdefault(
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1"
)  # the journal retries; the client's own minutes of back-off would only delay
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_DISABLE_AGENT_SKILLS_PROMPT", "1")

LONGEST_PARAM = 6000  # characters that every store takes
WHOLE = "the run's folder has the whole, in config.yaml or, of a sweep, sweep.yaml"
KIND, TRAINING = "mlflow.experimentKind", "custom_model_development"  # by which MLflow shows an experiment's runs as trainings


@dataclass(frozen=True)
class RunAddress:
    """Where a run is recorded: tracking URI, experiment and run id."""

    uri: str
    experiment_id: str
    run_id: str


def tracking_uri(configured: str | None, storage: Location) -> str:
    """The configured URI, `MLFLOW_TRACKING_URI`, or a sqlite file beside the runs; a path in it is taken from the present folder.

    Raises:
        UserError: for an address that can be none, or when the runs are on remote storage and no server is named.
    """
    uri = uri_with_secret((configured or "").strip()) or os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    return absolute_address(uri) if uri else default_address(storage)


def uri_with_secret(uri: str) -> str:
    """A stored address of MLflow, or the one of the environment where that is the same with its secret."""
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    return given if is_hidden(uri) and hidden(given) == uri else uri


def with_secret(address: RunAddress) -> RunAddress:
    """The address of a run, whose store is reached with the secret of the environment where it was stored without one."""
    return replace(address, uri=uri_with_secret(address.uri))


@contextlib.contextmanager
def asking(uri: str, advice: str, *, alone: bool = False) -> Iterator[Any]:
    """A client of the store; what goes wrong with the store inside the block is said in one sentence.

    `alone` keeps other processes that ask so out of a local store: of those that find it new, one makes its tables.

    Raises:
        UserError: with the `advice`, or a better one where the fault is known; `StoreAwayError` where it may pass.
    """
    uri = uri_with_secret(uri)
    if is_hidden(uri):
        raise UserError(f"the address {uri} of MLflow was stored without its secret; give --tracking.uri or MLFLOW_TRACKING_URI")
    from mlflow.exceptions import MlflowException  # seconds to import, and the command line shows its help without it
    from mlflow.tracking import MlflowClient
    from sqlalchemy.exc import SQLAlchemyError

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # its import has set INFO
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)  # prints what it raises besides
    try:
        with _held(uri) if alone else nullcontext():
            refuse_file(uri)
            _make_database(uri)
            yield MlflowClient(uri)
    except ImportError as error:  # of the store's driver
        raise UserError(
            f"MLflow at {hidden(uri)} needs a package that is not installed ({first_line(error)}); install it"
        ) from error
    except ValueError as error:
        if "MLFLOW_" not in str(error):
            raise
        raise UserError(f"a variable of the environment is wrong ({first_line(error)}); correct it") from error
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise refusal(error, uri, advice) from error


def _make_database(uri: str) -> None:
    """Make the file of a database that is not there yet, whose own experiment, `Default`, has its files beside it, as ours have.

    MLflow's client would put them below the present folder, whichever that is.
    """
    if (file := sqlite_file(uri)) is not None and not file.exists():
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        SqlAlchemyStore(uri, artifacts_beside(file))


@contextlib.contextmanager
def _held(uri: str) -> Iterator[None]:
    if (file := sqlite_file(uri)) is None:
        yield
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        yield


def start_run(uri: str, experiment: str, name: str, *, params: dict[str, Any], tags: dict[str, str]) -> RunAddress:
    """Create a run with its parameters and tags, and with who started it from where, unless the tags say that.

    Raises:
        UserError: when no tracking server answers.
    """
    uri = absolute_address(uri)
    file = sqlite_file(uri)
    artifacts = artifacts_beside(file) if file else None
    tags = tags if NAME in tags else source_tags() | tags
    with asking(uri, "start it, or correct tracking.uri or MLFLOW_TRACKING_URI", alone=True) as client:
        experiment_id = _experiment(client, experiment, artifacts)
        run = client.create_run(experiment_id, run_name=name, tags={key: hidden(value) for key, value in tags.items()})
        if not run.info.run_id:
            raise UserError(f"what answers at {hidden(uri)} is no MLflow server; {NO_SERVER}")
        address = RunAddress(uri, experiment_id, run.info.run_id)
        with ended_unless_begun(address):
            _log_params(client, address.run_id, params)
    return address


@contextlib.contextmanager
def ended_unless_begun(address: RunAddress) -> Iterator[None]:
    """Within the block a new run gets what it needs to begin; where that is stopped or refused, it does not stay RUNNING."""
    try:
        yield
    except BaseException as error:
        end_run(address, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise


def _experiment(client: Any, name: str, artifacts: str | None) -> str:
    """Id of an experiment, which is made where it is missing: by us, or by another run that starts at the same time."""
    from mlflow.exceptions import MlflowException

    if (found := client.get_experiment_by_name(name)) is not None:
        refuse_deleted(found, client.tracking_uri)
        _say_moving(found)
        if KIND not in found.tags:  # of an earlier version, or made by hand
            client.set_experiment_tag(found.experiment_id, KIND, TRAINING)
        return str(found.experiment_id)
    try:
        return str(client.create_experiment(name, artifact_location=artifacts, tags={KIND: TRAINING}))
    except MlflowException:
        if (found := client.get_experiment_by_name(name)) is None:
            raise
        return str(found.experiment_id)


def refuse_deleted(experiment: Any, uri: str) -> None:
    """Refuse an experiment that lies in MLflow's bin.

    Raises:
        UserError: with the command that restores it.
    """
    if experiment.lifecycle_stage == "deleted":
        raise UserError(
            f"experiment {experiment.name!r} was deleted in MLflow at {hidden(uri)}; restore it: MLFLOW_TRACKING_URI="
            f"{quote(hidden(uri))} mlflow experiments restore --experiment-id {experiment.experiment_id}, or choose another"
        )


def refuse_deleted_run(run: Any, uri: str) -> None:
    """Refuse a run that lies in MLflow's bin.

    Raises:
        UserError: with the command that restores it.
    """
    if run.info.lifecycle_stage == "deleted":
        raise UserError(
            f"the run {run.info.run_id} was deleted in MLflow at {hidden(uri)}; restore it: "
            f"MLFLOW_TRACKING_URI={quote(hidden(uri))} mlflow runs restore --run-id {run.info.run_id}"
        )


def _say_moving(experiment: Any) -> None:
    """Tell of an experiment whose files have no fixed place; an older version, or another program, made it so."""
    place = str(experiment.artifact_location)
    if place.startswith(("file://.", "./")):
        tell(f"experiment {experiment.name!r} keeps pictures in {place}, which is no fixed place; another experiment has one")


def check_run(address: RunAddress) -> None:
    """Refuse to go on with a run that its store does not have, or no longer; one that is away is told later.

    Raises:
        UserError: with what to do about the run, or about a store that refuses.
    """
    from mlflow.exceptions import MlflowException

    file = sqlite_file(address.uri)
    if file is not None and not file.exists():
        raise UserError(f"there is no MLflow store at {address.uri}; give --tracking.uri of the store that has the run")
    with contextlib.suppress(StoreAwayError), asking(address.uri, "correct --tracking.uri or MLFLOW_TRACKING_URI") as client:
        try:
            run = client.get_run(address.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UserError(
                f"MLflow at {hidden(address.uri)} has no run {address.run_id}; give --tracking.uri of the store that has it"
            ) from error
        if run.info.run_id != address.run_id:
            raise UserError(f"what answers at {hidden(address.uri)} is no MLflow server; {NO_SERVER}")
        refuse_deleted(client.get_experiment(run.info.experiment_id), address.uri)
        refuse_deleted_run(run, address.uri)


def experiment_of(address: RunAddress) -> str:
    """Name of the experiment that a run is in.

    Raises:
        UserError: when no tracking server answers.
    """
    with asking(address.uri, "start it, or set MLFLOW_TRACKING_URI") as client:
        return str(client.get_experiment(address.experiment_id).name)


def end_run(address: RunAddress, status: str) -> None:
    """Close a run that has no tracker to do it; a server that is away cannot be told.

    `status` is FINISHED, FAILED or KILLED.
    """
    with contextlib.suppress(UserError), asking(address.uri, "") as client:
        client.set_terminated(address.run_id, status)


def _log_params(client: Any, run_id: str, params: dict[str, Any]) -> None:
    from mlflow.entities import Param

    values = {key: hidden(str(value)) for key, value in params.items()}
    if long := [key for key, value in values.items() if len(value) > LONGEST_PARAM]:
        tell(f"MLflow has the first {LONGEST_PARAM:,} characters of {' and '.join(long)}; {WHOLE}")
    items = [Param(key, value[:LONGEST_PARAM]) for key, value in values.items()]
    for start in range(0, len(items), 100):
        client.log_batch(run_id, params=items[start : start + 100])
