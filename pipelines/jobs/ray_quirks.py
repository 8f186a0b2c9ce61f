"""What is done about Ray 2.60 itself: each work-around with the issue it is for, in one place.

tests/pipelines/jobs/test_ray_quirks.py has a test for each that fails when a version of Ray no longer needs it.
Free of torch and of Ray's libraries: tasks of Ray Data load it.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import socket
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any
from weakref import WeakSet

import ray
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, remove_placement_group

DASHBOARD, NOWHERE = "RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9"  # port 9 discards what it gets, where anything listens at all
UNUSED_PROCESSES = ("start_api_server", "start_monitor", "start_log_monitor")  # methods of Ray's node
ALWAYS_UNUSED, UNUSED_ALONE = {"DatasetsCallback"}, {"PlacementGroupCleanerCallback"}  # classes of Ray Train
CONTROLLER = "TrainController"  # the actor of a job of Ray Train that reserves for its workers
DRAINS = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
LOOKS = "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S"  # by default 2 seconds, and 2 more after a job's end
SECONDS_BETWEEN_LOOKS = "0.5"
TRAIN_ALONE = {DRAINS: "0", LOOKS: SECONDS_BETWEEN_LOOKS, "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0"}
LOG_LEVEL = "RAY_BACKEND_LOG_LEVEL"
STDERR = 2
CONNECT_SECONDS = 20
PAUSE = 0.02  # seconds
THIS_PROCESS = uuid.uuid4().hex[:12]
_TOLD: WeakSet[Any] = WeakSet()  # Ray's nodes that this process has started with `TRAIN_ALONE`
OF_THE_FIRST = (  # what makes the actors of Ray Data that outlive every job
    "ray.data._internal.stats:get_or_create_stats_actor",
    "ray.data._internal.cluster_autoscaler:get_or_create_autoscaling_coordinator",
    "ray.data._internal.usage.actor:get_or_create_usage_collection_actor",
)
NEXT_TO_NOTHING = {"memory": 1.0}  # a byte: Ray Tune refuses a trial that asks for nothing itself. No issue found


def no_dashboard() -> AbstractContextManager[None]:
    """Ray's processes that start within the block do not look for a dashboard.

    Ray Train asks it once a second whether the driver lives, and where there is none searches for it: the end of a run that took
    less than the search waited 12 s for that. No issue found; the asking came with ray-project/ray#58515.
    """
    return _unless_given({DASHBOARD: NOWHERE})


def few_processes() -> AbstractContextManager[None]:
    """A Ray that starts within the block has no process of which one machine has no use.

    Those of dashboard, autoscaler and log monitor go, which Ray starts whether or not they are wanted, and its agent is the small
    one that Ray takes where the packages of the dashboard are missing: together they took 5 of 7 s of a start. No issue found.
    """
    from ray._private import node, utils

    left_out = {(node.Node, name): _nothing for name in UNUSED_PROCESSES}
    return _replaced(left_out | {(utils, "get_dashboard_dependency_error"): lambda: ImportError("not wanted")})


def few_words(*, alone: bool) -> AbstractContextManager[None]:
    """A Ray that this process starts or joins within the block writes no lines of its own among the command's.

    Its core writes errors to the terminal that are none, as of each pool of actors of Ray Data, whose constructors get objects;
    told a level, it tells of that. `alone` says whether no other machine is there: then the messages go too that Ray publishes,
    as the last twenty lines of a raylet that was killed, which is said in a sentence. The first is ray-project/ray#53727.
    """
    from ray._private import worker

    return _replaced(
        {(worker, "connect"): functools.partial(_in_silence, worker.connect)}
        | ({(worker, "listen_error_messages"): _nothing} if alone else {})
    )


def _in_silence(connect: Callable[..., Any], *given: Any, **named: Any) -> Any:
    if LOG_LEVEL in os.environ:
        return connect(*given, **named)
    with _unless_given({LOG_LEVEL: "fatal"}), _no_terminal():
        return connect(*given, **named)


@contextmanager
def _no_terminal() -> Iterator[None]:
    """What is written to the process's standard error within the block, by code of any language, shows only if it fails."""
    try:
        kept = os.dup(STDERR)
    except OSError:  # it is closed
        yield
        return
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), STDERR)
        try:
            yield
        except BaseException:
            aside.seek(0)
            os.write(kept, aside.read())
            raise
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)


def in_groups_of_their_own() -> AbstractContextManager[None]:
    """What is sent to this process's group does not reach the processes of a Ray that starts within the block.

    `timeout` ends a group, and so do shells: a Ray that ends before its driver leaves that no way to save. On Linux they go with
    their parent, whatever their group; elsewhere Ray ends them by it. No issue found.
    """
    from ray._private import services

    if sys.platform != "linux":
        return nullcontext()
    return _replaced({(services, "ConsolePopen"): functools.partial(services.ConsolePopen, process_group=0)})


def _nothing(*given: Any, **named: Any) -> None:
    """For what is left out."""


@contextmanager
def _unless_given(values: dict[str, str]) -> Iterator[None]:
    """Variables of the environment have values within the block, unless the user has given them others."""
    new = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


@contextmanager
def _replaced(values: dict[tuple[Any, str], Any]) -> Iterator[None]:
    """Attributes of objects have other values within the block."""
    before = {(owner, name): getattr(owner, name) for owner, name in values}
    try:
        for (owner, name), value in values.items():
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name), value in before.items():
            setattr(owner, name, value)


def knock(address: str) -> None:
    """Raise OSError where nothing listens at `host:port`, or for `auto` at the address that Ray last noted on this machine.

    Ray itself tries for minutes, and cannot be interrupted meanwhile (ray-project/ray#28372 has the first of them).
    """
    if address == "auto":
        address = ray._private.services.canonicalize_bootstrap_address(address) or ""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()


def living_nodes() -> list[str]:
    """Ids of the cluster's nodes that are there; `ray.nodes()` lists dead ones too (ray-project/ray#26582)."""
    return [node["NodeID"] for node in ray.nodes() if node["Alive"]]


def started_here() -> bool:
    """Whether this process has started its Ray, which then is of this machine alone; Ray itself does not say. No issue found."""
    return bool(getattr(ray._private.worker._global_node, "head", False))


def nodes_in_use() -> set[str]:
    """Ids of the nodes of which somebody has CPUs, GPUs or memory; the public function sums up all nodes. No issue found."""
    state, in_use = ray._private.state, set[str]()
    free = state.available_resources_per_node()
    for node, total in state.total_resources_per_node().items():
        mine = free.get(node, {})
        if any(mine.get(name, 0.0) < amount for name, amount in total.items() if name != "object_store_memory"):
            in_use.add(node)
    return in_use


def keep_here() -> None:
    """The cluster's actors of Ray Data are on this driver's node, where they are not yet on another.

    The first process that has a data set, of ours a worker, makes them on its own node. They stay when all jobs are done, and an
    autoscaler takes a node with them for a busy one: it never goes. No issue found.
    """
    for maker in OF_THE_FIRST:
        module, _, name = maker.partition(":")
        with suppress(ImportError, AttributeError):  # not every Ray has all of them
            getattr(importlib.import_module(module), name)()


@contextmanager
def few_actors(trainer: Any, *, alone: bool) -> Iterator[None]:
    """A Ray Train job within the block has no actor that it has no use for: each takes two seconds of a processor as it starts.

    That is the one for data sets that are handed to Ray Train, which none of ours are. On one machine, which nobody drains and
    whose driver frees what an ended job reserved (`free_orphans`), it is the two that watch for that. No issue found.
    """
    make, unused = trainer._create_default_callbacks, ALWAYS_UNUSED | (UNUSED_ALONE if alone else set())
    with _replaced({(trainer, make.__name__): lambda: [each for each in make() if type(each).__name__ not in unused]}):
        yield


@contextmanager
def train_knows_its_settings() -> Iterator[None]:
    """A Ray that starts within the block has Ray Train's settings for one machine in the environment of all its processes."""
    with _unless_given(TRAIN_ALONE):
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
        with _replaced({(data_parallel_trainer, "get_env_vars_to_propagate"): _NothingMore}):
            yield
    else:
        with _unless_given({DRAINS: "0" if alone else "1", LOOKS: SECONDS_BETWEEN_LOOKS}):
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


@contextmanager
def kept_handlers(*numbers: signal.Signals) -> Iterator[None]:
    """Signals are handled after the block as before it.

    Ray takes SIGTERM as it starts, and prints a stack trace of its own for it (no issue found). Ray Tune gives its handlers back
    only where they were used: the next Ctrl-C in a notebook would do nothing.
    """
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def placement_groups() -> Iterator[Any]:
    """Those of this driver's job, as Ray's own table has them; the public one does not say whose they are."""
    job = ray.get_runtime_context().get_job_id()
    for row in ray._private.state.state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(row)
        if group.creator_job_id.hex() == job:
            yield group


def free_orphans() -> int:
    """Free what ended Ray Train jobs of this driver still reserve for workers; returns how many groups living actors hold.

    A placement group lives as long as the driver's job, not as the actor that made it. Ray Train frees that of a run whose own
    driver was ended, for example the trial of a sweep, by asking the dashboard: where none runs, never (ray-project/ray#58515,
    #62753). Ray's own table knows which actor made a group, and whether it lives.
    """
    if ray.util.client.ray.is_connected():  # whose process has no such table
        return 0
    nobody, held = ray.ActorID.nil().binary(), 0
    for group in placement_groups():
        mine = group.creator_actor_id != nobody and not group.is_detached
        if not mine or group.state == PlacementGroupTableData.REMOVED:
            continue
        if not group.creator_actor_dead:
            held += 1
        elif _class_of(group.creator_actor_id) == CONTROLLER:  # another's may have been handed on
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))
    return held


def _class_of(actor: bytes) -> str:
    return str(ray._private.state.actors(ray.ActorID(actor).hex()).get("ActorClassName", ""))


def same_in_statistics(data: Any, name: str) -> Any:
    """A Ray Data set that counts as the last one of that name of this process, wherever Ray keeps statistics.

    Ray's statistics actor keeps some hundred gauges of each data set that ever ran, and every epoch is one: 0.4 MB an epoch
    without end (ray-project/ray#43924; what #55925 bounds is another part of it). No two of a name may run at a time.
    """
    data._set_uuid(f"{name}-{THIS_PROCESS}")
    return data


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


def quiet_tune() -> None:
    """Ray Tune's older output, which is silent when asked to be.

    The newer one says where the file with the traceback of a failed trial is, whatever `verbose` says. No issue found;
    ray-project/ray#36854 has a part of it.
    """
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"


def ends_with_its_function(trainable: type[Any], seconds: float, waits: Callable[[], bool] = lambda: True) -> type[Any]:
    """A trainable made of a function, whose process waits for the function when the trial is stopped, for at most `seconds`.

    `waits` says whether it does, when it comes to that.

    Ray Tune makes the function leave its report, but ends the process without waiting for what it then does, such as closing
    its record. No issue found.
    """

    class Patient(trainable):
        """See above."""

        def cleanup(self) -> None:
            """Let the function end."""
            super().cleanup()
            if not waits():
                return
            for thread in threading.enumerate():
                if type(thread).__name__ == "RunnerThread":
                    thread.join(seconds)

    Patient.__name__ = trainable.__name__  # which the process is called
    return Patient


class Breather:
    """Pauses Ray Data's scheduling loop between its rounds.

    The loop runs in the consumer's process and does not wait while its output is full: without a pause it held the interpreter
    and training fell to a quarter of its rate. A task takes longer than a round, so nothing starts noticeably later.
    No issue found; ray-project/ray#63544 gathers others about the loop.
    """

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to do."""

    def on_execution_step(self, executor: Any) -> None:
        """Let others run."""
        time.sleep(PAUSE)

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to do."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to do."""
