"""From a configuration to a finished run: checks, run folder, MLflow run, Ray Train job, progress, outcome."""

from __future__ import annotations

import platform
import subprocess
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import ray
import torch
import yaml
from ray.train import UserCallback

from algos.networks import build_backbone
from pipelines.cluster import check_resources, connect
from pipelines.config import TrainingConfig, flatten
from pipelines.errors import UserError
from pipelines.labels import put_images
from pipelines.order import EpochOrder
from pipelines.ray_train import Watch, Workers, fit, recorded
from pipelines.recorder import start_recorder
from pipelines.run import CONFIG_FILE, RUN_FILE, Run
from pipelines.session import TrainingJob
from pipelines.shards import Dataset
from pipelines.storage import Location
from pipelines.tracking import start_run, tracking_uri
from pipelines.train import train_worker
from pipelines.trained import start_from


@dataclass(frozen=True)
class Surroundings:
    """What a run is a part of.

    Attributes:
        tags: for its MLflow run.
        callbacks: for Ray Train.
        shows_progress: whether it has the terminal to itself.
    """

    tags: dict[str, str] = field(default_factory=dict)
    callbacks: list[UserCallback] = field(default_factory=list)
    shows_progress: bool = True


def train(
    config: TrainingConfig, *, address: str | None = None, resume: str | None = None, within: Surroundings | None = None
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
    dataset = Dataset.open(config.data.shards)
    config.check(dataset)
    _check_network(config, resumed=resume is not None)
    config = _with_absolute_places(config, dataset)
    steps = EpochOrder(dataset.split(config.data.split), config.shape, seed=config.seed, epoch=0).steps
    compute = config.compute
    alone = connect(address, local_cpus=compute.workers * compute.cpus_per_worker + 1)
    check_resources(compute.min_workers or compute.workers, compute.cpus_per_worker, gpu=compute.gpu, grows=not alone)
    within = within or Surroundings()
    run, config = _reopen(resume, config) if resume else _create(config, dataset, within.tags)
    selection = config.selection
    labelled = put_images(dataset, selection) if selection else None
    recorder = start_recorder(str(run.local_folder), str(run.location), run.address, config.data.shards, config.data.split)
    job = TrainingJob(config, str(run.location), recorder, run.identity, labelled)
    progress = Watch("train", recorder, config.epochs * steps) if within.shows_progress else nullcontext()
    with recorded(recorder), progress:
        fit(train_worker, job, _workers(config), within.callbacks)
    return run


def _with_absolute_places(config: TrainingConfig, dataset: Dataset) -> TrainingConfig:
    # Ray Train's workers run in folders of their own, and a resume may come from anywhere.
    init_from = config.init_from and str(Location.of(config.init_from))
    data = replace(config.data, shards=str(dataset.location))
    return replace(config, storage=str(Location.of(config.storage)), data=data, init_from=init_from)


def _reopen(place: str, config: TrainingConfig) -> tuple[Run, TrainingConfig]:
    """The run to go on with, its configuration updated with what this part of it changes."""
    run = Run.open(place, kind=config.kind)
    config = config.found_in(run.location)
    _write_config(run.location, config)
    address = replace(run.address, uri=config.tracking.uri or run.address.uri)
    return replace(run, address=address), config


def _check_network(config: TrainingConfig, *, resumed: bool) -> None:
    try:
        with torch.device("meta"):
            build_backbone(config.backbone, config.image_size)
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.init_from and not resumed:
        start_from(build_backbone(config.backbone, config.image_size), config)


def _create(config: TrainingConfig, dataset: Dataset, tags: dict[str, str]) -> tuple[Run, TrainingConfig]:
    name = config.name or f"{dataset.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    storage = Location.of(config.storage)
    location = storage / name
    if (location / RUN_FILE).exists():
        raise UserError(f"{location} already holds a run; choose another name, or go on with it: --resume {location}")
    try:
        location.make()
        config = replace(config, name=name).adopt(location)
        _write_config(location, config)
    except OSError as error:
        raise UserError(f"storage {storage} cannot be written ({error}); correct storage") from error
    identity = {"data": dataset.fingerprint, **versions()}
    uri = tracking_uri(config.tracking.uri, storage)
    rows = {"data.fingerprint": dataset.fingerprint, "data.rows": dataset.split(config.data.split).rows}
    if selection := config.selection:
        rows |= {"labels.rule": selection.rule, "labels.count": len(selection.ids)}
    tags = tags | identity | {"run_folder": str(location), "kind": config.kind}
    address = start_run(uri, config.tracking.experiment, name, params=flatten(config.to_dict()) | rows, tags=tags)
    return Run.create(location, config.kind, address, identity), config


def _write_config(location: Location, config: TrainingConfig) -> None:
    (location / CONFIG_FILE).write_bytes(yaml.safe_dump(config.to_dict(), sort_keys=False).encode())


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the git commit where there is one."""
    import mlflow
    import torchvision

    found = {"python": platform.python_version(), "torch": str(torch.__version__), "torchvision": torchvision.__version__,
             "ray": ray.__version__, "mlflow": mlflow.__version__}  # fmt: skip
    try:
        command = ["git", "rev-parse", "HEAD"]
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git here, or no repository
        return found
    return found | {"git_commit": git.stdout.strip()}


def _workers(config: TrainingConfig) -> Workers:
    compute = config.compute
    count = compute.workers if compute.min_workers is None else (compute.min_workers, _most_workers(config))
    return Workers(count, compute.cpus_per_worker, compute.gpu, compute.max_failures)


def _most_workers(config: TrainingConfig) -> int:
    """Largest worker count that leaves a CPU to the stream, of an elastic run."""
    compute = config.compute
    room = int((ray.cluster_resources().get("CPU", 0) - 1) // compute.cpus_per_worker)
    return compute.workers if compute.gpu else max(compute.min_workers or 1, min(compute.workers, room))
