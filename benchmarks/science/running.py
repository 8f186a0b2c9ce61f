"""The runs of a study that are missing, one after another in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from benchmarks.science.configurations import Places, configuration, differences, is_finished, origin_of, stored
from benchmarks.science.inputs import changed_inputs, label_rule, other_inputs, recorded
from benchmarks.science.study import Planned, Study
from pipelines.config.training_config import TrainingConfig
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection, choose_per_class
from pipelines.errors import UserError
from pipelines.jobs.ray_cluster import connect
from pipelines.runs.run_folder import RUN_FILE, Run
from pipelines.tracking.mlflow_store import asking
from pipelines.training.launch import train

LOCKS = "locks"


def share_of(runs: Sequence[Planned], index: int, count: int) -> list[Planned]:
    """The share `index`, from 1, of `count`: every `count`-th run, whichever of them are finished, so that shares stay apart."""
    return list(runs[index - 1 :: count])


def run_missing(study: Study, studies: Mapping[str, Study], runs: Sequence[Planned], places: Places) -> dict[str, str]:
    """Train those of the runs that are not finished; returns what failed, by name, with the reason.

    Raises:
        UserError: for a configuration that is not valid, before anything starts.
        KeyboardInterrupt: when the user stops it; the run at hand can be gone on with.
    """
    configs = {run: configuration(study, studies, run, places) for run in runs}
    places.storage.mkdir(parents=True, exist_ok=True)
    failed: dict[str, str] = {}
    for number, (run, config) in enumerate(configs.items(), 1):
        try:
            began = time.monotonic()
            with held(places.storage, run):
                what = _make(study, studies, run, config, places)
            print(f"{number} of {len(configs)} {run.name}: {what}, {time.monotonic() - began:.0f} s", flush=True)
        except Exception as error:  # of one run, which the others do not wait for
            failed[run.name] = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            print(f"{number} of {len(configs)} {run.name}: failed: {failed[run.name]}", flush=True)
    return failed


def _make(study: Study, studies: Mapping[str, Study], run: Planned, config: TrainingConfig, places: Places) -> str:
    """Train a run, or go on with it, unless it is finished; says which."""
    folder = places.folder(run)
    begun = (folder / RUN_FILE).exists()
    if begun:
        _refuse_other(study, studies, run, config, places)
    if begun and is_finished(folder):
        _tag(run, folder)  # as a process may end between a training and its tags
        return "is there"
    if (origin := origin_of(study, studies, run)) and not is_finished(places.folder(origin)):
        raise UserError(f"it starts from {origin.name}, which is not finished; first run study {origin.study}")
    if not begun:
        _choose_labels(study, run, places)
    connect("local", local_cpus=2)
    if begun:
        train(stored(folder, type(config)), resume=str(folder))
    else:
        train(config)
    _tag(run, folder)
    return "resumed and finished" if begun else "finished"


def _refuse_other(study: Study, studies: Mapping[str, Study], run: Planned, config: TrainingConfig, places: Places) -> None:
    folder = places.folder(run)
    if other := differences(config, folder):
        raise UserError(f"{folder} holds a run of other settings ({'; '.join(other)}); remove it, or give another --storage")
    params = recorded(folder)
    if other := [*other_inputs(study, run, params), *changed_inputs(study, studies, run, places, params)]:
        raise UserError(f"{folder} holds a run of other inputs ({'; '.join(other)}); remove it, or give another --storage")


def _choose_labels(study: Study, run: Planned, places: Places) -> None:
    cell = study.cells[run.cell]
    if cell.per_class is None:
        return
    file = places.data / cell.labels.format(seed=run.seed)
    if file.exists():  # one of other images is refused by the run
        if (rule := Selection.open(str(file)).rule) != label_rule(study, run):
            raise UserError(
                f"{file} was chosen by another rule ({rule}, not {label_rule(study, run)}); remove it, or give another --data"
            )
    else:
        dataset = Dataset.open(str(places.data / cell.data))
        choose_per_class(dataset, "train", cell.per_class, run.seed, at_most=cell.at_most).save(str(file))


def _tag(run: Planned, folder: Path) -> None:
    """Say of a run in MLflow what it is in its study; a configuration has no key for that."""
    address = Run.open(str(folder)).address
    with asking(address.uri, "correct --set tracking.uri") as client:
        for key, value in run.tags.items():
            client.set_tag(address.run_id, key, value)


@contextmanager
def held(storage: Path, run: Planned) -> Iterator[None]:
    """Keep other processes from a run.

    Raises:
        UserError: when one is at it.
    """
    (storage / LOCKS).mkdir(exist_ok=True)
    lock = FileLock(storage / LOCKS / f"{run.name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError("another process is at it; let processes side by side have their --share") from None
    try:
        yield
    finally:
        lock.release()
