"""Finished runs in one Parquet file: what MLflow has of them, so that whoever has the file and no store can compare them again.

A row a run, of format 1: its identity, how it ended, its parameters and tags, and every figure over its steps. Of paths on the
machine it holds the last name only: the file is for others.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from filelock import FileLock

from pipelines.errors import UserError
from pipelines.files.documents import checked_note, damage_in_words
from pipelines.files.location import Location
from pipelines.files.parquet_reader import ParquetReader

FORMAT = "1"
FIGURE = pa.struct([("name", pa.string()), ("steps", pa.list_(pa.int64())), ("values", pa.list_(pa.float64()))])
TEXTS = pa.map_(pa.string(), pa.string())
SCHEMA = pa.schema(
    [
        ("run_id", pa.string()), ("name", pa.string()), ("experiment_id", pa.string()), ("experiment", pa.string()),
        ("status", pa.string()), ("start_time", pa.int64()), ("end_time", pa.int64()), ("params", TEXTS), ("tags", TEXTS),
        ("figures", pa.list_(FIGURE)),
    ],
    metadata={"quorum.runs": FORMAT},
)  # fmt: skip
FOLDERS = re.compile(  # of an absolute path, and of a database
    r"(?<![\w:/.…])/(?:[^\s/`'\",;]+/)+(?=[^\s/])|(?<=sqlite:///)/(?:[^\s/]+/)+"
)
LEFT_OUT = re.compile(r"mlflow\.(?!runName|parentRunId|note)")  # tags that say where and by whom, not what


def keep(place: str, runs: Sequence[tuple[Any, str, Mapping[str, Mapping[int, float]]]]) -> int:
    """Add ended runs to a file, in place of what it has of them; makes the file if it is not there.

    Args:
        place: of the file, a path or URI.
        runs: MLflow's run, the name of its experiment, and its figures: name -> step -> value.

    Returns:
        How many runs the file holds.

    Raises:
        UserError: for a file that holds something else.
        OSError: when it cannot be written.
    """
    location = Location.of(place)
    fresh = [_row(*run) for run in runs]
    ids = {row["run_id"] for row in fresh}
    with _turn(location):
        before = [row for row in _rows(location) if row["run_id"] not in ids] if location.exists() else []
        rows = sorted([*before, *fresh], key=lambda row: (row["start_time"], row["run_id"]))
        location.parent.make()
        location.write_parquet(pa.Table.from_pylist(rows, SCHEMA), write_page_checksum=True)
    return len(rows)


def _turn(location: Location) -> FileLock:
    """Held by the process that adds to a file; of several machines it keeps nobody out."""
    of_file = hashlib.sha256(str(location).encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir()) / f"quorum-kept-{os.getuid()}-{of_file}.lock")


def _row(run: Any, experiment: str, figures: Mapping[str, Mapping[int, float]]) -> dict[str, Any]:
    info, data = run.info, run.data
    return {
        "run_id": info.run_id, "name": info.run_name or info.run_id, "experiment_id": info.experiment_id,
        "experiment": experiment, "status": info.status, "start_time": info.start_time, "end_time": info.end_time,
        "params": sorted((key, without_folders(value)) for key, value in data.params.items()),
        "tags": sorted((key, without_folders(value)) for key, value in data.tags.items() if not LEFT_OUT.match(key)),
        "figures": [
            {"name": name, "steps": list(values), "values": list(values.values())} for name, values in sorted(figures.items())
        ],
    }  # fmt: skip


def without_folders(text: str) -> str:
    """A text with the folders of absolute paths left out: `/home/a/data/digits` is `…/digits`; URIs are as they were."""
    return FOLDERS.sub("…/", text)


def _rows(location: Location) -> list[dict[str, Any]]:
    try:
        table = ParquetReader(location).read()
    except FileNotFoundError:
        raise UserError(f"{location} is not there; give the file of kept runs: --from FILE") from None
    except UserError as error:
        raise UserError(f"{location} is no Parquet file, so it holds no kept runs ({error})") from error
    of_format = (table.schema.metadata or {}).get(b"quorum.runs", b"").decode(errors="replace")
    if of_format not in ("", FORMAT):
        raise UserError(f"{location} holds runs of format {of_format}, and this version reads format {FORMAT}; upgrade quorum")
    if not of_format or table.schema != SCHEMA:
        raise UserError(f"{location} holds no runs that quorum compare --keep wrote; give another file")
    with damage_in_words(location, "fetch it again"):
        rows = [_checked(row) for row in table.to_pylist(maps_as_pydicts="strict")]
        if again := next((run for run, times in Counter(row["run_id"] for row in rows).items() if times > 1), None):
            raise ValueError(f"it has the run {again} twice")
        return rows


def _checked(row: dict[str, Any]) -> dict[str, Any]:
    """The row of a run, if nothing is missing that a comparison needs.

    Raises:
        TypeError: where it is.
        ValueError: where a figure lacks a step or a value.
    """
    checked_note(row, run_id=str, name=str, experiment=str, status=str, start_time=int, params=dict, tags=dict, figures=list)
    for each in row["figures"]:
        checked_note(each, name=str, steps=list, values=list)
        if len(each["steps"]) != len(each["values"]) or None in each["steps"] or None in each["values"]:
            raise ValueError(f"its figure {each['name']} lacks a step or a value")
    return row


class KeptRuns:
    """What is read of MLflow's client, from a file of kept runs. An experiment's id is its name: runs may come of several stores.

    Args:
        place: of the file, a path or URI.

    Raises:
        UserError: for a file that is not there or holds something else.
    """

    def __init__(self, place: str) -> None:
        rows = _rows(Location.of(place))
        self._runs = {row["run_id"]: _run(row) for row in rows}
        self._histories = {row["run_id"]: {each["name"]: each for each in row["figures"]} for row in rows}
        self._experiments = dict.fromkeys(row["experiment"] for row in rows)

    def get_run(self, run_id: str) -> Any:
        """MLflow's run.

        Raises:
            MlflowException: when the file has none of this id.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST

        if run_id not in self._runs:
            raise MlflowException(f"no run {run_id} was kept", RESOURCE_DOES_NOT_EXIST)
        return self._runs[run_id]

    def search_experiments(self) -> list[Any]:
        """All experiments."""
        from mlflow.entities import Experiment

        return [Experiment(name, name, "", "active") for name in self._experiments]

    def get_experiment_by_name(self, name: str) -> Any:
        """The experiment of a name; `None` where there is none."""
        return next((each for each in self.search_experiments() if each.name == name), None)

    def get_experiment(self, experiment_id: str) -> Any:
        """The experiment of an id."""
        return next(each for each in self.search_experiments() if each.experiment_id == experiment_id)

    def runs_of(self, experiment_id: str, parent: str | None) -> list[Any]:
        """The runs of an experiment, or those below a parent run."""
        mine = [run for run in self._runs.values() if run.info.experiment_id == experiment_id]
        return [run for run in mine if parent is None or run.data.tags.get("mlflow.parentRunId") == parent]

    def get_metric_history(self, run_id: str, name: str) -> list[Any]:
        """A figure of a run over its steps, each of a later time than the one before it in the file."""
        from mlflow.entities import Metric

        kept, began = self._histories[run_id].get(name), self._runs[run_id].info.start_time
        points = zip(kept["steps"], kept["values"], strict=True) if kept else ()
        return [Metric(name, value, began + place, step) for place, (step, value) in enumerate(points)]


def _run(row: Mapping[str, Any]) -> Any:
    from mlflow.entities import Metric, Param, Run, RunData, RunInfo, RunTag

    began = row["start_time"]
    last = [Metric(each["name"], each["values"][-1], began, each["steps"][-1]) for each in row["figures"] if each["values"]]
    info = RunInfo(
        run_id=row["run_id"], experiment_id=row["experiment"], user_id="", status=row["status"], start_time=began,
        end_time=row["end_time"], lifecycle_stage="active", run_name=row["name"],
    )  # fmt: skip
    params, tags = ([kind(*pair) for pair in row[key].items()] for kind, key in ((Param, "params"), (RunTag, "tags")))
    return Run(info, RunData(last, params, tags))
