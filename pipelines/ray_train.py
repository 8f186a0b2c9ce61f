"""A Ray Train job as every command runs one: workers, restarts, a progress line, and the reason of a failure in words."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, UserCallback
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError

from pipelines.progress import progress
from pipelines.storage import Location

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Workers:
    """The workers of a job.

    Attributes:
        count: so many, or from the first to the second number as the cluster has room.
        cpus: of each.
        gpu: one each.
        max_failures: restarts from the last checkpoint; -1 for any number.
    """

    count: int | tuple[int, int]
    cpus: int = 1
    gpu: bool = False
    max_failures: int = 3


def fit(
    loop: Callable[[dict[str, Any]], None], job: Any, place: str, workers: Workers, callbacks: Sequence[UserCallback] = ()
) -> None:
    """Run `loop({"job": job})` on every worker of one process group, to the end.

    Args:
        loop: the worker's function.
        job: what it gets.
        place: the run's folder, for Ray's own files.
        workers: how many, on what.
        callbacks: for Ray Train.

    Raises:
        TrainingFailedError: when the workers failed more often than allowed.
    """
    run = Location.of(place)
    resources = {"CPU": float(workers.cpus)} | ({"GPU": 1.0} if workers.gpu else {})
    trainer = TorchTrainer(
        loop,
        train_loop_config={"job": job},
        # Labels are exchanged on the host, gradients on the device: each kind of tensor has its own backend.
        torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if workers.gpu else "gloo"),
        scaling_config=ScalingConfig(num_workers=workers.count, use_gpu=workers.gpu, resources_per_worker=resources),
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
    finally:
        if threading.current_thread() is threading.main_thread():  # a trial of a sweep is not there, and has no signals
            signal.signal(signal.SIGINT, interrupt)  # Ray Train leaves its own handler behind


class Watch:
    """Shows the recorder's status in one progress line while a block runs."""

    def __init__(self, what: str, recorder: Any, steps: int) -> None:
        self._what, self._recorder, self._steps = what, recorder, steps
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _show(self) -> None:
        with progress(self._what, self._steps, "steps") as bar:
            while not self._done.wait(POLL_SECONDS):
                status = ray.get(self._recorder.poll.remote())
                say(status.messages)
                bar.move_to(status.step, status.note)
            bar.move_to(ray.get(self._recorder.poll.remote()).step)


def say(messages: list[str]) -> None:
    """Print messages for the user."""
    for message in messages:
        print(message, file=sys.stderr)


def reason(recorder: Any, error: TrainingFailedError, place: str) -> str:
    """Why a job failed: what a worker noted with the recorder, or the last line of its error."""
    noted = ray.get(recorder.stop_reason.remote())
    if noted:
        return str(noted)
    last = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
    return f"training stopped: {last}; mend the cause and go on with --resume {place} (details: {place}/ray)"
