"""A job as a Ray Train job: workers on any node, restarts, and the reason of a failure in words."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from shlex import quote
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, UserCallback
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from pipelines.errors import UserError
from pipelines.files.location import Location
from pipelines.files.storage_errors import refusal_in
from pipelines.jobs.deaths import cause_of
from pipelines.jobs.ray_cluster import this_node
from pipelines.jobs.ray_quirks.process_group import ProcessGroup
from pipelines.jobs.ray_quirks.train import few_actors, in_the_controller, no_handlers, settings_of_train
from pipelines.jobs.worker import AnyJob, Job, Worker, Workers


def fit(
    work: Callable[[AnyJob, Worker], None],
    job: AnyJob,
    workers: Workers,
    callbacks: Sequence[UserCallback] = (),
    *,
    beside: int = 1,
    wished: Callable[[], bool] | None = None,
    alone: bool = False,
) -> None:
    """Run `work` on every worker of one process group, to the end.

    Args:
        work: the worker's function.
        job: what it gets.
        workers: how many, on what.
        callbacks: for Ray Train.
        beside: jobs like it at a time.
        wished: says, beside the record, whether the job is wished to stop.
        alone: whether Ray runs on this machine alone.

    Raises:
        UserError: what a worker refused, or why the workers failed more often than allowed.
        KeyboardInterrupt: when the user stops it.
    """
    run = Location.of(job.run)
    resources = {"CPU": float(workers.cpus)} | ({"GPU": workers.gpus} if workers.gpus else {})
    given = {"work": work, "job": job, "beside": beside, "wished": wished, "alone": alone}
    trainer = DataParallelTrainer(
        _run_worker,
        train_loop_config={"given": ray.put(given)},  # the controller reads its settings too, and would load what the work needs
        # Labels are exchanged on the host, gradients on the device: each kind of tensor has its own backend.
        backend_config=ProcessGroup("cpu:gloo,cuda:nccl" if workers.gpus else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers.count, use_gpu=workers.gpus > 0, resources_per_worker=resources),
        run_config=RunConfig(
            name=f"train-{time.time_ns()}",
            storage_path=f"{run.path}/ray",
            storage_filesystem=run.filesystem,
            failure_config=FailureConfig(max_failures=workers.max_failures),
            callbacks=[*callbacks, in_the_controller()],
        ),
    )
    try:
        with no_handlers(trainer), few_actors(trainer, alone=alone), settings_of_train(alone=alone):
            trainer.fit()
    except TrainingFailedError as error:
        raise UserError(_reason(job, error)) from error
    if stopped := job.record.stop_reason():
        raise UserError(stopped)


def _run_worker(settings: dict[str, Any]) -> None:
    given = ray.get(settings["given"])
    job: Job = given["job"]
    if job.record.stop_reason() is not None:  # noted below: a restarted worker would meet it again
        return
    context, device = ray.train.get_context(), ray.train.torch.get_device()
    rank, count, here = context.get_world_rank(), context.get_world_size(), context.get_local_world_size()
    wished = None if rank else _either(job.record.wished, given["wished"])
    drained = not given["alone"] and hasattr(ray.train, "get_preemption_info")  # which not every Ray has
    announced = _announced if drained else None
    try:
        worker = Worker(rank, count, here, device, ray.train.report, wished, given["beside"], announced, this_node())
        given["work"](job, worker)
    except UserError as error:
        job.record.stop(str(error))
        raise
    except Exception as error:
        if refused := refusal_in(error):
            job.record.stop(f"the storage refuses: {refused}, with --resume {quote(job.run)}")
        raise


def _either(first: Callable[[], bool], second: Callable[[], bool] | None) -> Callable[[], bool]:
    return first if second is None else lambda: first() or second()


def _announced() -> tuple[int | None, ...] | None:
    """Ranks of the workers whose machines are drained, and when these go; all workers call it together."""
    info = ray.train.get_preemption_info()
    return None if info is None else (info.deadline_ms, *info.preempted_ranks)


def _reason(job: Job, error: TrainingFailedError) -> str:
    """Why a job failed: what a worker noted in the record, or what its error comes from."""
    noted = job.record.stop_reason()
    if noted:
        return str(noted)
    on = f"go on with --resume {quote(job.run)}"
    return f"training stopped: {cause_of(error)}; mend the cause and {on} (details: {job.run}/ray)"
