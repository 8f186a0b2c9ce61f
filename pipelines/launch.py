"""From a configuration to a finished run: checks, run folder, MLflow run, Ray Train job, progress, outcome."""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import ray
import torch
import yaml
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from algos.networks import build_backbone
from pipelines.cluster import check_resources, connect
from pipelines.config import TrainingConfig, flatten
from pipelines.errors import UserError
from pipelines.labels import put_images
from pipelines.order import EpochOrder
from pipelines.progress import progress
from pipelines.recorder import start_recorder
from pipelines.run import CONFIG_FILE, FORMAT, RUN_FILE, Run
from pipelines.session import Job
from pipelines.shards import Dataset
from pipelines.storage import Location
from pipelines.tracking import start_run, tracking_uri
from pipelines.train import train_worker
from pipelines.trained import start_from

POLL_SECONDS = 0.5


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
    outcome = "FAILED"
    try:
        with _Watch(recorder, config.epochs * steps) if within.shows_progress else nullcontext():
            _fit(Job(config, str(run.location), recorder, run.identity, labelled), within.callbacks)
        outcome = "FINISHED" if ray.get(recorder.stop_reason.remote()) is None else "FAILED"
    except (KeyboardInterrupt, SystemExit):  # Ray Train turns Ctrl-C into an exit of its own
        outcome = "KILLED"
        raise KeyboardInterrupt from None
    except TrainingFailedError as error:
        raise UserError(_reason(recorder, error, run)) from error
    finally:
        _say(ray.get(recorder.close.remote(outcome)))
    if reason := ray.get(recorder.stop_reason.remote()):
        raise UserError(reason)
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
    content = {
        "format": FORMAT, "kind": config.kind, "mlflow": vars(address), "identity": identity | {"mlflow_run": address.run_id},
    }  # fmt: skip
    (location / RUN_FILE).write_json(content)
    return Run.open(str(location)), config


def _write_config(location: Location, config: TrainingConfig) -> None:
    (location / CONFIG_FILE).write_bytes(yaml.safe_dump(config.to_dict(), sort_keys=False).encode())


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the git commit where there is one."""
    import mlflow
    import torchvision

    found = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__,
             "ray": ray.__version__, "mlflow": mlflow.__version__}  # fmt: skip
    try:
        command = ["git", "rev-parse", "HEAD"]
        git = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):  # no git here, or no repository
        return found
    return found | {"git_commit": git.stdout.strip()}


def _fit(job: Job, callbacks: list[UserCallback]) -> None:
    compute, run = job.config.compute, Location.of(job.run)
    workers = compute.workers if compute.min_workers is None else (compute.min_workers, _most_workers(job.config))
    resources = {"CPU": float(compute.cpus_per_worker)} | ({"GPU": 1.0} if compute.gpu else {})
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        # Labels are exchanged on the host, gradients on the device: each kind of tensor has its own backend.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if compute.gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=compute.gpu, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"train-{time.time_ns()}",
            storage_path=f"{run.path}/ray",
            storage_filesystem=run.filesystem,
            failure_config=FailureConfig(max_failures=compute.max_failures),
            callbacks=callbacks,
        ),
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit()
    finally:
        if threading.current_thread() is threading.main_thread():  # a trial of a sweep is not there, and has no signals
            signal.signal(signal.SIGINT, interrupt)  # Ray Train leaves its own handler behind


def _most_workers(config: TrainingConfig) -> int:
    """Largest worker count that leaves a CPU to the stream, of an elastic run."""
    compute = config.compute
    room = int((ray.cluster_resources().get("CPU", 0) - 1) // compute.cpus_per_worker)
    return compute.workers if compute.gpu else max(compute.min_workers or 1, min(compute.workers, room))


class _Watch:
    """Shows the recorder's status in one progress line while a block runs."""

    def __init__(self, recorder: Any, steps: int) -> None:
        self._recorder, self._steps = recorder, steps
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _show(self) -> None:
        with progress("train", self._steps, "steps") as bar:
            while not self._done.wait(POLL_SECONDS):
                status = ray.get(self._recorder.poll.remote())
                _say(status.messages)
                bar.move_to(status.step, status.note)
            bar.move_to(ray.get(self._recorder.poll.remote()).step)


def _say(messages: list[str]) -> None:
    for message in messages:
        print(message, file=sys.stderr)


def _reason(recorder: Any, error: TrainingFailedError, run: Run) -> str:
    noted = ray.get(recorder.stop_reason.remote())
    if noted:
        return str(noted)
    last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return f"training stopped: {last}; mend the cause and go on with --resume {run.location} (details: {run.location}/ray)"
