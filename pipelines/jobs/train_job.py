"""A Ray Train job as every command runs one: workers, restarts, a progress line, and the reason of a failure in words."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import ray
import ray.train
import ray.train.torch
import ray.util
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.util.placement_group import PlacementGroup, remove_placement_group

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.jobs.watch import say

PLACEMENT = "placement_group"  # among the reported figures of an epoch


@dataclass(frozen=True)
class Workers:
    """The workers of a job.

    Attributes:
        count: so many, or from the first to the second number as the cluster has room.
        cpus: of each.
        gpus: of each; 0 for none.
        max_failures: restarts from the last checkpoint; -1 for any number.
    """

    count: int | tuple[int, int]
    cpus: int = 1
    gpus: float = 0.0
    max_failures: int = 3


@dataclass(frozen=True)
class Worker:
    """One worker's rank of `count`, of which `local_count` share its machine, and its device."""

    rank: int
    count: int
    local_count: int
    device: torch.device

    def claim_device(self, threads: int = 0) -> None:
        """Make the device this process's own, or take `threads` of the CPU; 0 for a fair share of the machine."""
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.backends.cudnn.benchmark = True  # shapes are fixed
        else:
            # One CPU stays free for the stream: threads that wait for a preempted one cost more than it brings.
            spare = ((os.cpu_count() or 1) - 1) // self.local_count
            torch.set_num_threads(threads or max(1, spare))


class Job(Protocol):
    """What the driver hands every worker."""

    @property
    def run(self) -> str:
        """The run's folder, a path or URI."""

    @property
    def recorder(self) -> Any:
        """Handle of the `Recorder` actor."""


AnyJob = TypeVar("AnyJob", bound=Job)


@contextmanager
def recorded(recorder: Any, *, open_end: bool = False) -> Iterator[None]:
    """Close the recorder as a block ends: finished - or with an open end, still running -, killed by the user, or failed.

    Raises:
        KeyboardInterrupt: when the user stopped it.
    """
    outcome = "FAILED"
    try:
        yield
        outcome = "RUNNING" if open_end else "FINISHED"
    except (KeyboardInterrupt, SystemExit):  # Ray Train turns Ctrl-C into an exit of its own
        outcome = "KILLED"
        raise KeyboardInterrupt from None
    finally:
        say(ray.get(recorder.close.remote(outcome)))


def fit(work: Callable[[AnyJob, Worker], None], job: AnyJob, workers: Workers, callbacks: Sequence[UserCallback] = ()) -> None:
    """Run `work` on every worker of one process group, to the end.

    Args:
        work: the worker's function.
        job: what it gets.
        workers: how many, on what.
        callbacks: for Ray Train.

    Raises:
        UserError: what a worker refused, or why the workers failed more often than allowed.
    """
    run = Location.of(job.run)
    resources = {"CPU": float(workers.cpus)} | ({"GPU": workers.gpus} if workers.gpus else {})
    trainer = TorchTrainer(
        _run_worker,
        train_loop_config={"work": work, "job": job},
        # Labels are exchanged on the host, gradients on the device: each kind of tensor has its own backend.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if workers.gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers.count, use_gpu=workers.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"train-{time.time_ns()}",
            storage_path=f"{run.path}/ray",
            storage_filesystem=run.filesystem,
            failure_config=FailureConfig(max_failures=workers.max_failures),
            callbacks=list(callbacks),
        ),
    )
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise UserError(_reason(job, error)) from error
    finally:
        if threading.current_thread() is threading.main_thread():  # a trial of a sweep is not there, and has no signals
            signal.signal(signal.SIGINT, interrupt)  # Ray Train leaves its own handler behind
    if stopped := ray.get(job.recorder.stop_reason.remote()):
        raise UserError(stopped)


def _run_worker(settings: dict[str, Any]) -> None:
    job: Job = settings["job"]
    if ray.get(job.recorder.stop_reason.remote()) is not None:  # noted below: a restarted worker would meet it again
        return
    context = ray.train.get_context()
    worker = Worker(
        context.get_world_rank(), context.get_world_size(), context.get_local_world_size(), ray.train.torch.get_device()
    )
    try:
        settings["work"](job, worker)
    except UserError as error:
        ray.get(job.recorder.stop.remote(str(error)))
        raise


def _reason(job: Job, error: TrainingFailedError) -> str:
    """Why a job failed: what a worker noted with the recorder, or the last line of its error."""
    noted = ray.get(job.recorder.stop_reason.remote())
    if noted:
        return str(noted)
    last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return f"training stopped: {last}; mend the cause and go on with --resume {job.run} (details: {job.run}/ray)"


def report_epoch(figures: Mapping[str, float]) -> None:
    """Tell Ray Train, and a sweep above it, the figures of an epoch and which placement group reserves this worker's resources.

    A sweep that stops the run by ending its driver has to free the group: Ray Train does it only where Ray's dashboard runs.
    """
    group = ray.util.get_current_placement_group()
    ray.train.report({**figures, **({PLACEMENT: group.id.hex()} if group else {})})


def free(group: str) -> None:
    """Free the resources of workers that are gone, by the group that one of them reported; does no harm twice."""
    if group:
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(group))))
