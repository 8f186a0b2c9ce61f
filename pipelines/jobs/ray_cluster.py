"""Joining a Ray cluster, or starting a local one, quietly; such a one ends with this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.errors import UserError
from pipelines.jobs.deaths import watch_head
from pipelines.jobs.ray_quirks.cluster import free_orphans, keep_here, started_here
from pipelines.jobs.ray_quirks.own_processes import end_with_this_process, none_left_unless_started
from pipelines.jobs.ray_quirks.starts import (
    few_processes,
    few_words,
    in_groups_of_their_own,
    knock,
    no_dashboard,
    no_home_needed,
    sigterm_stays_ours,
)
from pipelines.jobs.ray_quirks.train import train_knows_its_settings
from pipelines.jobs.ray_starts import refuse_client, starts_in_words
from pipelines.words import tell

READERS = 2  # tasks of a stream that read at a time, without a CPU of their own
Result = TypeVar("Result")


def connect(address: str | None = None, *, local_cpus: int | None = None) -> bool:
    """Join the cluster at `address` (or RAY_ADDRESS); without one start Ray on this machine, unless this process has one already.

    Args:
        address: of a head node, or `auto`.
        local_cpus: logical CPUs of a local Ray, at least; a worker that waits for data needs little of its own.

    Returns:
        Whether Ray runs on this machine alone, so that its resources cannot grow.

    Raises:
        UserError: when Ray does not start, no cluster answers at the address, it does not take this process, or this process has
            joined another one.
    """
    if ray.is_initialized():
        _refuse_another(address)
        free_orphans()
        if started_here():
            _be_quiet()  # again: Ray Data sets its own level when it is loaded, as by a later call of the same process
        return started_here()
    _be_quiet()
    address = address or os.environ.get("RAY_ADDRESS") or None
    options = {"log_to_driver": False, "logging_level": logging.ERROR, "include_dashboard": False}
    if address is None or address == "local":
        with (
            no_dashboard(), few_processes(), few_words(alone=True), in_groups_of_their_own(), train_knows_its_settings(),
            sigterm_stays_ours(), no_home_needed(),
        ):  # fmt: skip
            cpus = max(os.cpu_count() or 1, local_cpus or 1)
            settings = {
                # No dashboard would show metrics and task events, which are kept of every data set that ever ran.
                "enable_metrics_collection": False, "task_events_report_interval_ms": 0,
                # Processes are kept for all CPUs, and for the tasks that read beside them: a new one starts for a second.
                "num_workers_soft_limit": cpus + READERS,
            }  # fmt: skip
            with starts_in_words(None), none_left_unless_started():
                ray.init(address="local", num_cpus=cpus, _system_config=settings, **options)
        end_with_this_process()
        watch_head(ray.get_runtime_context().gcs_address)
        return True
    refuse_client(address)
    del options["include_dashboard"]
    with few_words(alone=False), sigterm_stays_ours(), starts_in_words(address):
        knock(address)
        ray.init(address=address, **options)
    watch_head(ray.get_runtime_context().gcs_address)
    keep_here()
    return False


def _refuse_another(address: str | None) -> None:
    """Refuse the address of a head node other than that of the cluster which this process has joined."""
    joined = ray.get_runtime_context().gcs_address
    if address not in (None, "auto", "local") and "://" not in str(address) and address != joined:
        raise UserError(
            f"this process uses the Ray at {joined}; use {address!r} from another process, or call ray.shutdown() first"
        )


def _be_quiet() -> None:
    for name in ("ray", "ray.data", "ray.train", "ray.tune", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def this_node() -> str:
    """Id of the node that this process is on."""
    return str(ray.get_runtime_context().get_node_id())


def only_on(node: str) -> NodeAffinitySchedulingStrategy:
    """How a task or an actor is told to run on one node of the cluster."""
    return NodeAffinitySchedulingStrategy(node, soft=False)


def call_on(node: str, function: Callable[[], Result]) -> Result:
    """Call a function on a node of the cluster; raises what it raises."""
    if node == this_node():
        return function()
    task: Any = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=only_on(node))(_call)
    try:
        result: Result = ray.get(task.remote(function))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    return result


def _call(function: Callable[[], Result]) -> Result:
    return function()


def check_resources(workers: int, cpus_per_worker: int, *, gpus: float, grows: bool = False) -> None:
    """Refuse a job that cannot be placed; where the cluster may grow, say what the job will wait for.

    Raises:
        UserError: for too few GPUs, or no CPU left for the stream's tasks.
    """
    resources, all_gpus = ray.cluster_resources(), workers * gpus
    cpus, needed = resources.get("CPU", 0), workers * cpus_per_worker + 1
    if grows:
        for name, asked in (("GPU", all_gpus), ("CPU", needed)):
            if resources.get(name, 0) < asked:
                tell(f"waiting for {asked:g} {name}s; the cluster has {resources.get(name, 0):.0f} now")
        return
    if resources.get("GPU", 0) < all_gpus:
        raise UserError(
            f"compute.gpu asks for {all_gpus:g} GPUs, the cluster has {resources.get('GPU', 0):.0f}; "
            f"lower compute.workers or set compute.gpu to false"
        )
    if cpus < needed:
        raise UserError(
            f"{workers} workers of {cpus_per_worker} CPUs and a Data task need {needed} CPUs, the cluster has {cpus:.0f}; "
            f"lower compute.workers or compute.cpus_per_worker"
        )
