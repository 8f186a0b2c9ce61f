"""Runs as they are kept in MLflow, read once: what was tried, how it ended, what it cost, and its figures over the epochs.

Figures of runs of version 0.1 have their present names here.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.errors import UserError, nearest
from pipelines.files.documents import damage_in_words
from pipelines.files.location import Location
from pipelines.tracking.figures import EPOCH, EVALUATE, IMAGES_SEEN, is_of_machine
from pipelines.tracking.mlflow_store import RunAddress, asking, refuse_deleted, refuse_deleted_run, tracking_uri
from pipelines.tracking.old_figures import by_present_names, present_name
from pipelines.tracking.stores.addresses import absolute_address, sqlite_file
from pipelines.words import counted
from tune.comparison.kept_runs import KeptRuns, keep
from tune.comparison.made_with import made_with
from tune.points import differing, one_line, point_of_tag

OUTCOMES = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
PAGE = 1000  # runs of a request
LARGEST = 1e308  # MLflow keeps an infinite figure as the largest double


@dataclass(frozen=True)
class Record:
    """A run.

    Attributes:
        address: where it is kept.
        name: of the run.
        point: the settings that tell it from the others, by key.
        seed: runs of one point and different seeds are repetitions.
        outcome: `finished`, `stopped`, `failed` or `running`.
        reason: why it failed, where that is known.
        seconds: from its start to its end, or to its last figure while it runs.
        last: the last value of each of its figures.
        series: of the figures that were read: step -> value, by rising steps.
        folder: of the run; empty where it is not known.
        made_with: versions and means that may change a score and are no setting, by their names.
    """

    address: RunAddress
    name: str
    point: dict[str, Any]
    seed: str
    outcome: str
    reason: str
    seconds: float
    last: dict[str, float]
    series: dict[str, dict[int, float]]
    folder: str = ""
    made_with: dict[str, str] = field(default_factory=dict)

    def at(self, name: str, step: int) -> float | None:
        """The figure as it was last known at a step."""
        steps = self._steps.get(name, [])
        place = bisect.bisect_right(steps, step)
        return self.series[name][steps[place - 1]] if place else None

    def epochs_at(self, steps: np.ndarray) -> np.ndarray:
        """Epochs (P,) done at steps (P,); one that did not come to its end counts as long as the last that did.

        The run has counted its epochs, and `EPOCH` is among the series.
        """
        ends = self.series[EPOCH]
        stops, done = np.array([0.0, *ends]), np.array([0.0, *(epoch + 1 for epoch in ends.values())])
        length = stops[-1] - stops[-2]
        beyond = np.maximum(steps - stops[-1], 0) * ((done[-1] - done[-2]) / length if length else 0.0)
        return np.asarray(np.interp(steps, stops, done) + beyond)

    @functools.cached_property
    def _steps(self) -> dict[str, list[int]]:
        return {name: list(values) for name, values in self.series.items()}

    @property
    def images(self) -> float:
        """Images seen until it ended."""
        return max(self.series.get(IMAGES_SEEN, {}).values(), default=0.0)


@dataclass
class Found:
    """Runs that belong to the targets, before their figures are read.

    Attributes:
        name: of the comparison.
        runs: with the URI of their store.
        sweeps: parents of which all trials are among the runs.
        notes: what the user should know.
        folders: by run id, where a target was a run's folder.
    """

    name: str
    runs: list[tuple[str, Any]] = field(default_factory=list)
    sweeps: list[tuple[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    folders: dict[str, str] = field(default_factory=dict)

    def folder_of(self, run: Any) -> str:
        """Folder of a run: the one that was given, else where it was made; empty where neither is known."""
        return self.folders.get(run.info.run_id) or str(run.data.tags.get("run_folder", ""))

    @property
    def names_of_runs(self) -> list[set[str]]:
        """Of the figures of each run but those of machines, whose steps are readings and no steps of the run."""
        return [{present_name(name) for name in run.data.metrics if not is_of_machine(name)} for _, run in self.runs]

    @property
    def names(self) -> set[str]:
        """Of all figures that a run has."""
        return set().union(*self.names_of_runs)


def is_kept(uri: str | None) -> bool:
    """Whether it is a file of kept runs, and no MLflow store."""
    return uri is not None and uri.endswith(".parquet")


@functools.lru_cache(maxsize=2)
def _kept(place: str) -> KeptRuns:
    return KeptRuns(place)


@contextlib.contextmanager
def reading(uri: str) -> Iterator[Any]:
    """A client of a store that is there, or a file of kept runs that is asked like one.

    Raises:
        UserError: when it is not, or does not answer.
    """
    if is_kept(uri):
        yield _kept(uri)
        return
    file = sqlite_file(uri)
    if file is not None and not file.exists():
        raise UserError(f"there is no MLflow store at {uri}; give --tracking.uri or set MLFLOW_TRACKING_URI")
    with asking(uri, "correct --tracking.uri or MLFLOW_TRACKING_URI") as client:
        yield client


def find(targets: Sequence[str], uri: str | None = None) -> Found:
    """The runs that the targets name, each once: experiments, sweeps, runs by id, or folders of runs or sweeps.

    Args:
        targets: see above.
        uri: of the store, or a file of kept runs; else a folder's own, `MLFLOW_TRACKING_URI`, or the sqlite file in `outputs`.

    Raises:
        UserError: for a target that names nothing, or an experiment with several sweeps.
    """
    found = Found("runs")
    for target in targets:
        if (address := _address_in(target)) is not None:
            found.folders[address.run_id] = target
            store = _store(uri or address.uri)
            with reading(store) as client:
                _add_run(found, store, client, address.run_id)
            continue
        store = _store(uri or tracking_uri(None, Location.of("outputs")))
        with reading(store) as client:
            if re.fullmatch(r"[0-9a-f]{32}", target):
                _add_run(found, store, client, target)
            else:
                _add_experiment(found, store, client, target)
    unique = {run.info.run_id: (store, run) for store, run in found.runs}  # a store may be spelled, or copied, twice
    found.runs = list(unique.values())
    if not found.runs:
        raise UserError(f"{', '.join(targets)} holds no runs yet")
    return found


def _named(store: str) -> str:
    return store if is_kept(store) else f"MLflow at {store}"


def _store(uri: str) -> str:
    return str(Location.of(uri)) if is_kept(uri) else absolute_address(uri)


def _address_in(place: str) -> RunAddress | None:
    """The MLflow run of a folder that holds a run or a sweep."""
    for name in ("run.json", "sweep.json"):
        if (file := Location.of(place) / name).exists():
            with damage_in_words(file, "restore it"):
                return RunAddress(**file.read_json()["mlflow"])
    return None


def _add_run(found: Found, store: str, client: Any, run_id: str) -> None:
    """The run, or its trials where it is a sweep."""
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(
            f"{_named(store)} has no run {run_id}; correct the id{'' if is_kept(store) else ' or --tracking.uri'}"
        ) from error
    refuse_deleted(client.get_experiment(run.info.experiment_id), store)
    refuse_deleted_run(run, store)
    if run.data.tags.get("quorum.kind") == "sweep":
        _add_sweep(found, store, client, run)
    else:
        found.runs.append((store, run))


def _add_sweep(found: Found, store: str, client: Any, parent: Any) -> None:
    runs = runs_of(client, parent.info.experiment_id, parent.info.run_id)
    trials = list(newest_of_trials(runs).values())
    if again := len(runs) - len(trials):
        found.notes.append(f"{counted(again, 'run')} left out, of trials that began anew when their folders were gone")
    found.runs += [(store, run) for run in trials]
    found.sweeps.append((store, parent))
    found.name = one_line(parent.info.run_name or found.name)


def newest_of_trials(runs: Sequence[Any]) -> dict[Any, Any]:
    """The newest run of each trial: a sweep that goes on without a trial's folder trains it again, as another run."""
    newest: dict[Any, Any] = {}
    for run in sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id)):
        newest[trial_of(run)] = run
    return newest


def trial_of(run: Any) -> Any:
    """The point and the seed of a trial's run; of another run its id."""
    tags = run.data.tags
    return (tags["quorum.point"], tags.get("quorum.seed")) if "quorum.point" in tags else run.info.run_id


def _add_experiment(found: Found, store: str, client: Any, name: str) -> None:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        known = [other.name for other in client.search_experiments()]
        raise UserError(
            f"{_named(store)} has no experiment {name!r}, and it is no run's id or folder{nearest(name, known)}; "
            f"it has {', '.join(sorted(known))}"
        )
    refuse_deleted(experiment, store)
    runs = runs_of(client, experiment.experiment_id)
    sweeps = [run for run in runs if run.data.tags.get("quorum.kind") == "sweep"]
    if len(sweeps) > 1:
        ids = ", ".join(f"{run.info.run_id} ({run.info.run_name})" for run in sweeps)
        raise UserError(f"experiment {name!r} holds {len(sweeps)} sweeps; compare one by its run id: {ids}")
    if not sweeps:
        found.runs += [(store, run) for run in runs]
        found.name = name
        return
    _add_sweep(found, store, client, sweeps[0])
    if others := sum(run.data.tags.get("mlflow.parentRunId") != sweeps[0].info.run_id for run in runs) - 1:
        found.notes.append(f"{others} runs of experiment {name!r} belong to no trial of its sweep and are left out")


def runs_of(client: Any, experiment_id: str, parent: str | None = None) -> list[Any]:
    """The runs of an experiment, or those below a parent run."""
    if isinstance(client, KeptRuns):
        return client.runs_of(experiment_id, parent)
    condition = "" if parent is None else f"tags.`mlflow.parentRunId` = '{parent}'"
    page = client.search_runs([experiment_id], condition, max_results=PAGE)
    runs = list(page)
    while page.token:
        page = client.search_runs([experiment_id], condition, max_results=PAGE, page_token=page.token)
        runs += page
    return runs


def read(found: Found, names: Sequence[str]) -> list[Record]:
    """The runs with the histories of the named figures, in the order of their start.

    MLflow has no public way to read histories of many runs at once: it is one query for each figure that a run has.
    """
    runs = sorted(found.runs, key=lambda item: (item[1].info.start_time, item[1].info.run_id))
    tags = [run.data.tags for _, run in runs]
    one_sweep = len({tag.get("mlflow.parentRunId") for tag in tags}) == 1 and all("quorum.point" in tag for tag in tags)
    if one_sweep:
        settings = [point_of_tag(run.data.tags, run.info.run_name) for _, run in runs]
    else:
        settings = differing([parameters_of(run) for _, run in runs])
    pairs = zip(runs, settings, strict=True)
    return [_record(store, run, setting, names, found.folder_of(run)) for (store, run), setting in pairs]


def parameters_of(run: Any) -> dict[str, str]:
    """Parameters of a run, with the split that its scores are of where the data decided it."""
    params, chosen = dict(run.data.params), run.data.tags.get("quorum.chosen_by", "").partition("/")[0]
    if chosen and params.get("monitor.split", "None") == "None":
        params["monitor.split"] = chosen
    return params


def _record(store: str, run: Any, setting: tuple[dict[str, Any], str], names: Sequence[str], folder: str) -> Record:
    point, seed = setting
    info, tags = run.info, run.data.tags
    series: dict[str, dict[int, float]] = {}
    last, latest = by_present_names(run.data.metrics), info.start_time
    with reading(store) as client:
        for name in names:
            stored = [key for key in run.data.metrics if present_name(key) == name]  # two, where version 0.1 began the run
            if stored:
                history = [entry for key in stored for entry in client.get_metric_history(info.run_id, key)]
                series[name] = _by_step(history)
                latest = max([latest, *(entry.timestamp for entry in history)])
                if name.startswith(f"{EVALUATE}/"):  # of one checkpoint after another: the last in time, not by step
                    last[name] = max(history, key=lambda entry: (entry.timestamp, entry.step)).value
    return Record(
        RunAddress(store, info.experiment_id, info.run_id), one_line(info.run_name or info.run_id), point, seed,
        OUTCOMES.get(info.status, "running"), one_line(tags.get("quorum.reason", "")),
        ((info.end_time or latest) - info.start_time) / 1000, last, series, folder, made_with(tags, run.data.params),
    )  # fmt: skip


def keep_runs(found: Found, place: str) -> str:
    """Add the runs that have ended, and the sweeps that they are of, to a file of kept runs; says what was kept.

    Raises:
        UserError: for a file that holds something else.
        OSError: when it cannot be written.
    """
    ended = [(store, run) for store, run in found.runs if run.info.end_time]
    rows = []
    for store, run in (*found.sweeps, *ended):
        with reading(store) as client:
            experiment = client.get_experiment(run.info.experiment_id).name
            names = (name for name in run.data.metrics if not is_of_machine(name))
            figures = {name: _kept_figure(name, client.get_metric_history(run.info.run_id, name)) for name in names}
        rows.append((run, experiment, figures))
    total, going = keep(place, rows), len(found.runs) - len(ended)
    left = f"; {going} are still going and were left out" if going else ""
    return f"{counted(len(rows), 'run')} kept in {place}, which holds {total:,}{left}"


def _kept_figure(name: str, history: Sequence[Any]) -> dict[int, float]:
    """A figure over its steps; one of `quorum evaluate` in the order of time, for the last that was found counts."""
    values = _by_step(history)
    if not name.startswith(f"{EVALUATE}/"):
        return values
    found = {entry.step: entry.timestamp for entry in sorted(history, key=lambda entry: entry.timestamp)}
    return {step: values[step] for step in sorted(values, key=lambda step: (found[step], step))}


def _by_step(history: Sequence[Any]) -> dict[int, float]:
    """Finite values; of a step that came twice, as after a resume, the later one."""
    latest = {entry.step: entry.value for entry in sorted(history, key=lambda entry: entry.timestamp)}
    return {step: value for step, value in sorted(latest.items()) if math.isfinite(value) and abs(value) < LARGEST}


def refuse_unknown(metric: str, names: set[str]) -> None:
    """Refuse a figure that no run has.

    Raises:
        UserError: naming what there is.
    """
    if metric not in names:
        shown = ", ".join(sorted(names)) or "none yet"
        raise UserError(f"no run has the figure {metric!r}{nearest(metric, names)}; there is {shown}")
