"""A job of one worker in the process that asks for it, which has the worker's CPUs or GPU already: the trial of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import ray
import torch

from pipelines.jobs.worker import AnyJob, Worker


def work_here(
    work: Callable[[AnyJob, Worker], None],
    job: AnyJob,
    report: Callable[[Mapping[str, float]], None],
    wished: Callable[[], bool] | None = None,
    *,
    beside: int = 1,
) -> None:
    """Run `work` to its end; what it raises is raised here.

    Args:
        work: the worker's function.
        job: what it gets.
        report: takes the figures of an epoch.
        wished: says whether the job is wished to stop.
        beside: jobs like it at a time.
    """
    # Ray shows a process the GPU that it has, or the part of one, as the first.
    device = torch.device("cuda", 0) if ray.get_gpu_ids() else torch.device("cpu")
    try:
        work(job, Worker(0, 1, 1, device, report, wished, beside))
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()  # others may share the GPU, and this process go on with another job
