"""Ray Train: no actors, settings or handlers of its own where a job has no use for them, and room beside its workers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import ray

from pipelines.jobs.ray_quirks.patches import replaced, unless_given

ALWAYS_UNUSED, UNUSED_ALONE = {"DatasetsCallback"}, {"PlacementGroupCleanerCallback"}  # classes of Ray Train
DRAINS = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
LOOKS = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"  # by default 2 seconds, and 2 more after a job's end
SECONDS_BETWEEN_LOOKS = "0.5"
TRAIN_ALONE = {DRAINS: "0", LOOKS: SECONDS_BETWEEN_LOOKS, "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0"}
_TOLD: WeakSet[Any] = WeakSet()  # Ray's nodes that this process has started with `TRAIN_ALONE`


@contextmanager
def few_actors(trainer: Any, *, alone: bool) -> Iterator[None]:
    """A Ray Train job within the block has no actor that it has no use for: each takes two seconds of a processor as it starts.

    That is the one for data sets that are handed to Ray Train, which none of ours are. On one machine, which nobody drains and
    whose driver frees what an ended job reserved (`free_orphans`), it is the two that watch for that. No issue found.
    """
    make, unused = trainer._create_default_callbacks, ALWAYS_UNUSED | (UNUSED_ALONE if alone else set())
    with replaced({(trainer, make.__name__): lambda: [each for each in make() if type(each).__name__ not in unused]}):
        yield


@contextmanager
def train_knows_its_settings() -> Iterator[None]:
    """A Ray that starts within the block has Ray Train's settings for one machine in the environment of all its processes."""
    with unless_given(TRAIN_ALONE):
        yield
        _TOLD.add(ray._private.worker._global_node)


@contextmanager
def settings_of_train(*, alone: bool) -> Iterator[None]:
    """A Ray Train job within the block looks at its workers often, and for machines that are drained unless there is one alone.

    Ray Train sends each process its settings in an environment of the process's own, so that the raylet starts two programs
    for each, one after another, and no process serves two jobs: half a second for each of six. Where the processes know the
    settings already (`train_knows_its_settings`), and the user has given no others since, nothing is sent. No issue found.
    """
    from ray.train.v2.api import data_parallel_trainer

    if know_their_settings():
        with replaced({(data_parallel_trainer, "get_env_vars_to_propagate"): _NothingMore}):
            yield
    else:
        with unless_given({DRAINS: "0" if alone else "1", LOOKS: SECONDS_BETWEEN_LOOKS}):
            yield


def know_their_settings() -> bool:
    """Whether this process has started its Ray with Ray Train's settings, and has no others in its own environment now."""
    from ray.train.v2._internal.constants import get_env_vars_to_propagate

    return ray._private.worker._global_node in _TOLD and not get_env_vars_to_propagate()


class _NothingMore(dict[str, str]):
    """Variables to which Ray Train cannot add what the processes have already."""

    def setdefault(self, name: str, value: str = "") -> str:
        """Leave it as it is."""
        return value


@contextmanager
def no_handlers(trainer: Any) -> Iterator[None]:
    """A Ray Train job within the block leaves signals to us; an interrupt ends it, and passes.

    Ray Train turns Ctrl-C into an exit of its own, and leaves its handler behind (no issue found; since ray-project/ray#53600).
    """
    controllers: list[Any] = []
    trainer._register_sigint_handler = controllers.append
    try:
        yield
    except KeyboardInterrupt:
        for controller in controllers:
            with suppress(ray.exceptions.RayError):
                ray.get(controller.abort.remote())
        raise


def in_the_controller() -> Any:
    """A callback of a Ray Train job that changes Ray Train where the process is that decides; callbacks are what comes there.

    Groups of an elastic job leave one CPU of the cluster to the stream's tasks: after the loss of a node Ray Train takes all that
    is left, and the new group waits for its data without end (no issue found). And workers are sent no settings which their
    processes know (`settings_of_train`).
    """
    from ray.train import UserCallback

    known = know_their_settings()

    class InTheController(UserCallback):
        """See above."""

        def __reduce__(self) -> tuple[Any, ...]:
            return _change_there, (known,)

    return InTheController()


def _change_there(known: bool) -> Any:
    from ray.train import UserCallback
    from ray.train.v2._internal.execution.scaling_policy.elastic import ElasticScalingPolicy
    from ray.train.v2._internal.execution.worker_group import worker_group

    count = ElasticScalingPolicy._count_possible_workers

    def with_room(policy: Any, *given: Any) -> int:
        config = policy.scaling_config
        cpus = config._resources_per_worker_not_none.get("CPU", 0)
        most = int((ray.cluster_resources().get("CPU", 0) - 1) // cpus) if cpus else config.max_workers
        return int(min(count(policy, *given), max(most, config.min_workers)))

    ElasticScalingPolicy._count_possible_workers = with_room
    if known:
        worker_group.get_env_vars_to_propagate = dict
    return UserCallback()
