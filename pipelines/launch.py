"""From a configuration to a finished run: checks, run folder, MLflow run, Ray Train job, progress, outcome."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
import yaml
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from algos.networks import build_backbone
from pipelines.checkpoint import CheckpointStore
from pipelines.cluster import check_resources, connect
from pipelines.config import TrainingConfig, flatten
from pipelines.errors import UserError
from pipelines.order import EpochOrder
from pipelines.progress import progress
from pipelines.recorder import start_recorder
from pipelines.session import Job
from pipelines.shards import Dataset
from pipelines.storage import Location
from pipelines.tracking import RunAddress, start_run, tracking_uri
from pipelines.train import train_worker

FORMAT = 1
RUN_FILE, CONFIG_FILE = "run.json", "config.yaml"
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Run:
    """A run's folder and what identifies it."""

    location: Location
    address: RunAddress
    identity: dict[str, str]

    @classmethod
    def open(cls, place: str) -> Run:
        """The run in a folder.

        Raises:
            UserError: for a folder that holds no run, or one of another format.
        """
        location = Location.of(place)
        if not (location / RUN_FILE).exists():
            raise UserError(
                f"{place} holds no {RUN_FILE}, so it is no run; give the folder that a training printed, for example outputs/NAME"
            )
        content = (location / RUN_FILE).read_json()
        if content.get("format") != FORMAT:
            raise UserError(f"{location / RUN_FILE} has format {content.get('format')}, this version reads {FORMAT}")
        return cls(location, RunAddress(**content["mlflow"]), content["identity"])

    @property
    def local_folder(self) -> Path:
        """Where journal and pictures are: the run's folder, or one of its name here where that is remote."""
        return Path(self.location.path) if self.location.is_local else Path("outputs").absolute() / self.location.name

    @property
    def checkpoints(self) -> CheckpointStore:
        """The run's checkpoints."""
        return CheckpointStore(self.location / "checkpoints")


def train(config: TrainingConfig, *, address: str | None = None, resume: str | None = None) -> Run:
    """Train to the end, or go on with the run in folder `resume`; returns the run.

    Raises:
        UserError: for input that cannot work, said before a worker starts where it can be known then, or a run that had to stop.
    """
    dataset = Dataset.open(config.data.shards)
    config.check(dataset)
    _check_network(config)
    compute = config.compute
    connect(address, local_cpus=compute.workers * compute.cpus_per_worker + 1)
    check_resources(compute.min_workers or compute.workers, compute.cpus_per_worker, gpu=compute.gpu)
    run = Run.open(resume) if resume else _create(config, dataset)
    steps = EpochOrder(dataset.split(config.data.split), config.shape, seed=config.seed, epoch=0).steps
    recorder = start_recorder(str(run.local_folder), run.address, config.data.shards, config.data.split)
    job = Job(config, str(run.location), recorder, run.identity)
    outcome = "FAILED"
    try:
        with _Watch(recorder, config.epochs * steps):
            _fit(job)
        outcome = "FINISHED"
    except KeyboardInterrupt:
        outcome = "KILLED"
        raise
    except TrainingFailedError as error:
        raise UserError(_reason(recorder, error, run)) from error
    finally:
        _say(ray.get(recorder.close.remote(outcome if ray.get(recorder.stop_reason.remote()) is None else "FAILED")))
    if reason := ray.get(recorder.stop_reason.remote()):
        raise UserError(reason)
    return run


def _check_network(config: TrainingConfig) -> None:
    try:
        with torch.device("meta"):
            build_backbone(config.backbone, config.image_size)
    except ValueError as error:
        raise UserError(str(error)) from error


def _create(config: TrainingConfig, dataset: Dataset) -> Run:
    name = config.name or f"{dataset.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    location = Location.of(config.storage) / name
    if (location / RUN_FILE).exists():
        raise UserError(f"{location} already holds a run; choose another name, or go on with it: --resume {location}")
    identity = {"data": dataset.fingerprint, **versions()}
    uri = tracking_uri(config.tracking.uri, Location.of(config.storage))
    params = flatten(config.to_dict()) | {
        "data.fingerprint": dataset.fingerprint,
        "data.rows": dataset.split(config.data.split).rows,
    }
    address = start_run(
        uri, config.tracking.experiment, name, Location.of(config.storage), params, identity | {"run_folder": str(location)}
    )
    location.make()
    (location / CONFIG_FILE).write_bytes(yaml.safe_dump(replace(config, name=name).to_dict(), sort_keys=False).encode())
    content = {"format": FORMAT, "mlflow": vars(address), "identity": identity | {"mlflow_run": address.run_id}}
    (location / RUN_FILE).write_json(content)
    return Run.open(str(location))


def versions() -> dict[str, str]:
    """Versions of what a result depends on, and the git commit where there is one."""
    import mlflow
    import torchvision

    found = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__,
             "ray": ray.__version__, "mlflow": mlflow.__version__}  # fmt: skip
    git = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    return found | ({"git_commit": git.stdout.strip()} if git.returncode == 0 else {})


def _fit(job: Job) -> None:
    compute = job.config.compute
    workers = compute.workers if compute.min_workers is None else (compute.min_workers, compute.workers)
    resources = {"CPU": float(compute.cpus_per_worker)} | ({"GPU": 1.0} if compute.gpu else {})
    trainer = TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        # Labels are exchanged on the host, gradients on the device: each kind of tensor has its own backend.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if compute.gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers, use_gpu=compute.gpu, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"train-{time.time_ns()}",
            storage_path=f"{job.run}/ray",
            failure_config=FailureConfig(max_failures=compute.max_failures),
        ),
    )
    trainer.fit()


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


def load_run_config(place: str) -> str:
    """Path of a local copy of a run's configuration, for the command line to start from."""
    location = Run.open(place).location / CONFIG_FILE
    if location.is_local:
        return location.path
    copy = Path(os.path.abspath("outputs")) / Run.open(place).location.name / CONFIG_FILE
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(location.read_bytes())
    return str(copy)
