"""Ray Data: pipelines that leave nothing behind, and a loop that uses the CPUs it has and leaves the consumer's to others."""

from __future__ import annotations

import time
import uuid
from typing import Any

import ray
from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator
from ray.data._internal.execution import streaming_executor_state
from ray.data._internal.execution.operators import task_pool_map_operator
from ray.data._internal.remote_fn import cached_remote_fn

PAUSE = 0.02  # seconds
THIS_PROCESS = uuid.uuid4().hex[:12]
COORDINATOR = "AutoscalingCoordinator"  # its name, and its namespace
_made_anew = default_autoscaling_coordinator.get_or_create_autoscaling_coordinator


def same_in_statistics(data: Any, name: str) -> Any:
    """A Ray Data set that counts as the last one of that name of this process, wherever Ray keeps statistics.

    Ray's statistics actor keeps some hundred gauges of each data set that ever ran, and every epoch is one: 0.4 MB an epoch
    without end (ray-project/ray#43924; what #55925 bounds is another part of it). No two of a name may run at a time.
    """
    data._set_uuid(f"{name}-{THIS_PROCESS}")
    return data


def leaves_no_definitions() -> None:
    """Pipelines of this process define no function and no class of their own, which would stay to its end.

    Ray Data defines its task anew for each operator, with the operator's id among its options, and the class of its coordinator
    for each pipeline. Every definition is kept by this process, by those that carry out the task, and by Ray's head: 46 kB an
    epoch here (of the head's part tells ray-project/ray#63666). Where each task is told the id besides, none is lost.
    """
    if "_get_dynamic_ray_remote_args" in vars(task_pool_map_operator.TaskPoolMapOperator):
        task_pool_map_operator.cached_remote_fn = _defined_once
    default_autoscaling_coordinator.get_or_create_autoscaling_coordinator = _coordinator


def _defined_once(function: Any, *, _labels: Any = None, **options: Any) -> Any:
    return cached_remote_fn(function, **options)


def _coordinator() -> Any:
    try:
        return ray.get_actor(COORDINATOR, namespace=COORDINATOR)
    except ValueError:  # there is none yet
        return _made_anew()


def ask_again(executor: Any) -> None:
    """Have what the cluster gives a pipeline asked for at its next round where the answer had not come at the last.

    Ray Data takes that for nothing at all and asks a second later: until then one task ran at a time. No issue found.
    """
    limits = getattr(executor, "_resource_manager", None)
    if limits is not None and limits._global_limits.is_zero():
        limits._global_limits_last_update_time = 0


def notices_sooner() -> None:
    """Ray Data's loop looks for tasks that have ended more often than ten times a second.

    It waits until all have ended, or for so long: a CPU whose task ended first was idle meanwhile. No issue found.
    """
    streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S = PAUSE


class Breather:
    """Pauses Ray Data's scheduling loop between its rounds, which begin as `ask_again` has it.

    The loop runs in the consumer's process and does not wait while its output is full: without a pause it held the interpreter
    and training fell to a quarter of its rate. A task takes longer than a round, so nothing starts noticeably later.
    No issue found; ray-project/ray#63544 gathers others about the loop.
    """

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to do."""

    def on_execution_step(self, executor: Any) -> None:
        """Let others run."""
        ask_again(executor)
        time.sleep(PAUSE)

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to do."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to do."""
