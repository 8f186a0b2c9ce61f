"""From a configuration to a finished run: checks, run folder, MLflow run, Ray Train job, progress, outcome."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.train import UserCallback

from pipelines.config.training_config import TrainingConfig
from pipelines.config.training_plan import check_training, stream_shape
from pipelines.datasets.image_shards import Dataset
from pipelines.datasets.label_selection import Selection, put_images
from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.jobs.ray_cluster import check_resources, connect
from pipelines.jobs.train_job import Workers, fit, recorded
from pipelines.jobs.watch import Watch
from pipelines.runs.run_folder import RUN_FILE, Run, write_config
from pipelines.runs.trained_model import check_network
from pipelines.runs.training_inputs import absolute, adopt_labels, found_in, open_selection
from pipelines.tracking.recorder import start_recorder
from pipelines.training.loop import train_worker
from pipelines.training.session import TrainingJob


@dataclass(frozen=True)
class TrialContext:
    """What a run is a part of.

    Attributes:
        tags: for its MLflow run.
        callbacks: for Ray Train.
        shows_progress: whether it has the terminal to itself.
        grows: whether the cluster may bring what the job lacks; null to find out.
        until: epoch to stop before and leave the run open for more; null for its end.
    """

    tags: dict[str, str] = field(default_factory=dict)
    callbacks: list[UserCallback] = field(default_factory=list)
    shows_progress: bool = True
    grows: bool | None = None
    until: int | None = None


def train(
    config: TrainingConfig, *, address: str | None = None, resume: str | None = None, within: TrialContext | None = None
) -> Run:
    """Train to the end, or go on with the run in folder `resume`; returns the run.

    Args:
        config: of the run.
        address: of a Ray cluster; default `RAY_ADDRESS`, or this machine.
        resume: folder of the run to go on with.
        within: what the run is a part of, for example a sweep.

    Raises:
        UserError: for input that cannot work, said before a worker starts where it can be known then, or a run that had to stop.
        KeyboardInterrupt: when the user stops it.
    """
    dataset = Dataset.open(config.data)
    run = None
    if resume is not None:
        run = Run.open(resume, kind=config.kind).go_on(dataset.fingerprint, config.data, config.tracking.uri)
        config = found_in(config, run.location)
    selection = open_selection(config)
    check_training(config, dataset, selection)
    check_network(config, resumed=run is not None)
    config, within = absolute(config), within or TrialContext()
    compute = config.compute
    alone = connect(address, local_cpus=compute.workers * compute.cpus_per_worker + 1)
    grows = not alone if within.grows is None else within.grows
    check_resources(compute.min_workers or compute.workers, compute.cpus_per_worker, gpus=compute.gpus, grows=grows)
    labelled = put_images(dataset, selection) if selection else None
    if run is None:
        run, config = _create(config, dataset, selection, within.tags)
    else:
        write_config(run.location, config.to_dict())
    recorder = start_recorder(str(run.local_folder), str(run.location), run.address, dataset, config.stream.split)
    job = TrainingJob(config, dataset, str(run.location), recorder, run.identity, labelled, within.until)
    steps = config.epochs * stream_shape(config).steps(dataset.split(config.stream.split).rows)
    progress = Watch("train", recorder, steps) if within.shows_progress else nullcontext()
    with recorded(recorder, open_end=within.until is not None and within.until < config.epochs):
        if _is_trained(run, within.until or config.epochs):
            print(f"{run.location} has all its epochs; nothing is left to train", file=sys.stderr)
        else:
            with progress:
                fit(train_worker, job, _workers(config), within.callbacks)
    return run


def _is_trained(run: Run, epochs: int) -> bool:
    """Whether a resumed run has nothing left to train: its record may still want an end."""
    newest = run.checkpoints.latest()
    return newest is not None and newest.epoch >= epochs


def _create(
    config: TrainingConfig, dataset: Dataset, selection: Selection | None, tags: dict[str, str]
) -> tuple[Run, TrainingConfig]:
    name = config.name or f"{dataset.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    location = Location.of(config.storage) / name
    if (location / RUN_FILE).exists():
        raise UserError(f"{location} already holds a run; choose another name, or go on with it: --resume {location}")
    params: dict[str, Any] = {"data.rows": dataset.split(config.stream.split).rows}
    if selection is not None:
        params |= {"labels.rule": selection.rule, "labels.count": len(selection.ids)}
    try:
        config = adopt_labels(replace(config, name=name), selection, location.make())
    except OSError as error:
        raise UserError(f"storage {config.storage} cannot be written ({error}); correct storage") from error
    run = Run.start(
        location,
        config.kind,
        config.to_dict(),
        dataset.fingerprint,
        uri=config.tracking.uri,
        experiment=config.tracking.experiment,
        name=name,
        params=params,
        tags=tags,
    )
    return run, config


def _workers(config: TrainingConfig) -> Workers:
    compute = config.compute
    count = compute.workers if compute.min_workers is None else (compute.min_workers, _most_workers(config))
    return Workers(count, compute.cpus_per_worker, compute.gpus, compute.max_failures)


def _most_workers(config: TrainingConfig) -> int:
    """Largest worker count that leaves a CPU to the stream, of an elastic run."""
    compute = config.compute
    room = int((ray.cluster_resources().get("CPU", 0) - 1) // compute.cpus_per_worker)
    return compute.workers if compute.gpu else max(compute.min_workers or 1, min(compute.workers, room))
