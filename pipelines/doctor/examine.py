"""All checks, on all nodes at a time, within a minute: one that fails or hangs stops no other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pipelines.doctor import group
from pipelines.doctor.findings import Finding, Page, State, fault, fine, untried
from pipelines.doctor.network import look_at_clocks, look_at_network
from pipelines.doctor.node_probe import Begun, Node, Probe, answers, failed
from pipelines.doctor.on_node import versions
from pipelines.doctor.on_node.data_files import Expected, look_at_data
from pipelines.doctor.on_node.gpus import look_at_gpus
from pipelines.doctor.on_node.machine import look_at_disks, look_at_limits, look_at_memory, look_at_name, look_where_no_ray_starts
from pipelines.doctor.on_node.storage import Wish, write_and_read
from pipelines.doctor.own_folders import HERE, look_at_own_folder
from pipelines.doctor.places import clear, compare_and_remove, name_of, open_data, open_storage, refused
from pipelines.doctor.record import look_at_record
from pipelines.doctor.room import look_at_nodes, look_at_room
from pipelines.errors import Stopped, UserError
from pipelines.files.location import Location
from pipelines.jobs.ray_cluster import connect

CONNECT_SECONDS = 24.0  # until a cluster answers
OPEN_SECONDS = 12.0  # of what this process asks of storage and data, meanwhile
CHECK_SECONDS, LEAST_CHECK_SECONDS = 26.0, 12.0  # of the checks on a node, the start of a process among them
CHECKED_AT = 42.0  # seconds from the start, after which there is only the least time for them
REMOVE_SECONDS = 2.0  # until a storage that was just written has answered, where the command is stopped
LAST_SECONDS = 12.0  # of what comes after them: clocks, network, removing what was written, an all-reduce


@dataclass(frozen=True)
class Asked:
    """What is to be looked at.

    Attributes:
        address: of the cluster; `None` as in every command.
        data: a data set, or embeddings.
        storage: where runs go.
        tracking: address of MLflow, as `record_address` has it.
        experiment: in MLflow.
        nodes: that there should be.
        workers: of a job.
        cpus_each: of a worker.
        gpus: of all workers.
    """

    address: str | None = None
    data: str | None = None
    storage: str | None = None
    tracking: str | None = None
    experiment: str = "quorum"
    nodes: int | None = None
    workers: int | None = None
    cpus_each: int = 1
    gpus: int | None = None


@dataclass(frozen=True)
class Check:
    """A function that one node was asked for."""

    name: str
    probe: Probe
    reference: Any


@dataclass
class Places:
    """Storage and data, as this process has opened them; `None` where they were not given or cannot be used."""

    storage: Wish | None = None
    data: Expected | None = None
    findings: list[Finding] = field(default_factory=list)

    @classmethod
    def waited_for(cls, asked: Asked, begun: dict[str, Begun[Any]], deadline: float) -> Places:
        """What came of opening them until then."""
        found = cls()
        for name in ("storage", "data"):
            if name not in begun:
                found.findings.append(untried(name, f"no --{name} was given"))
            elif isinstance(told := begun[name].answer(deadline), BaseException):
                found.findings.append(refused(name, told, OPEN_SECONDS))
            else:
                setattr(found, name, told)
        return found


def examine(asked: Asked) -> list[Finding]:
    """Make all checks.

    Raises:
        UserError: for an address that can be none.
    """
    begun: dict[str, Begun[Any]] = {"own folder": Begun(partial(look_at_own_folder, asked.storage))}
    if asked.tracking:
        begun["record"] = Begun(partial(look_at_record, asked.tracking, asked.experiment))
    if asked.storage:
        begun["storage"] = Begun(partial(open_storage, asked.storage))
    if asked.data:
        begun["data"] = Begun(partial(open_data, asked.data))
    try:
        return _examined(asked, begun)
    except Stopped:
        _remove_written(begun)
        raise


def _remove_written(begun: dict[str, Begun[Any]]) -> None:
    """What was written to a storage goes, although its checks did not come to their end."""
    if "storage" in begun and isinstance(wish := begun["storage"].answer(time.monotonic() + REMOVE_SECONDS), Wish):
        clear(wish)


def _examined(asked: Asked, begun: dict[str, Begun[Any]]) -> list[Finding]:
    """All findings, those of what has begun to be asked among them."""
    start = time.monotonic()
    no_cluster = _join(asked)
    places = Places.waited_for(asked, begun, time.monotonic() + OPEN_SECONDS)
    if no_cluster is None:
        now = time.monotonic()
        seconds = min(CHECK_SECONDS, max(start + CHECKED_AT - now, LEAST_CHECK_SECONDS))
        found = _on_cluster(asked, places, seconds)
    else:
        found = [no_cluster, *places.findings]
        found += [one.on(HERE) for one in look_where_no_ray_starts()] if _is_here(asked) else []
        found += [fine(name, "this process reaches it") for name in ("storage", "data") if getattr(places, name) is not None]
        if places.storage is not None:
            clear(places.storage)
    found += _own(begun["own folder"].answer(time.monotonic() + 1), found)
    if "record" not in begun:
        return [*found, untried("MLflow", "neither --tracking.uri nor --storage was given")]
    return found + _told(begun["record"].answer(time.monotonic() + 1))


def _own(told: Any, found: list[Finding]) -> list[Finding]:
    """What is wrong with the driver's folder; once, where its node has said it."""
    if isinstance(told, BaseException):
        return [failed("own folder", told, CHECK_SECONDS).on(HERE)]
    said = {one.said for one in found if one.state is not State.FINE}
    return [one for one in told if one.said not in said]


def _told(record: Any) -> list[Finding]:
    if isinstance(record, TimeoutError):
        return [fault("MLflow", "it does not answer", "look at its log, and at the network and proxy to it", Page.MLFLOW)]
    return [failed("MLflow", record, CHECK_SECONDS)] if isinstance(record, BaseException) else list(record)


def _join(asked: Asked) -> Finding | None:
    """Join the cluster, or start Ray here; a fault where that does not go."""
    needed = (asked.workers or 0) * asked.cpus_each + 1
    if _is_here(asked):  # by this thread, with whose end those that it started would end
        error = _raised(partial(connect, asked.address, local_cpus=needed))
    else:
        error = Begun(partial(connect, asked.address)).answer(time.monotonic() + CONNECT_SECONDS)
    if not isinstance(error, BaseException):
        return None
    if isinstance(error, TimeoutError):
        said = f"what listens at {asked.address or 'RAY_ADDRESS'} did not let this process in within {CONNECT_SECONDS:.0f} s"
        return fault("cluster", said, "look whether it is a head node of Ray, and at its logs", Page.CLUSTER)
    if not isinstance(error, UserError):
        raise error
    if "is no address of a Ray cluster" in str(error) or "this process uses the Ray at" in str(error):
        raise error
    page = Page.VERSIONS if "install the same on both sides" in str(error) else Page.CLUSTER
    return fault("cluster", str(error), "", page)


def _is_here(asked: Asked) -> bool:
    """Whether a Ray of this machine alone is started."""
    return (asked.address or os.environ.get("RAY_ADDRESS") or "local") == "local"


def _raised(function: Callable[[], Any]) -> Any:
    try:
        return function()
    except UserError as error:
        return error


def _on_cluster(asked: Asked, places: Places, seconds: float) -> list[Finding]:
    nodes, late = Node.all(), time.monotonic() + seconds
    found = look_at_nodes(nodes, asked.nodes)
    found += look_at_room(nodes, workers=asked.workers, cpus_each=asked.cpus_each, gpus=asked.gpus)
    read = versions.reader()
    here, probes = Begun(read), [Probe.start(node) for node in nodes]
    try:
        hosts = list(dict.fromkeys(node.host for node in nodes))
        checks = [Check(versions.CHECK, probe, probe.ask(read)) for probe in probes]
        for probe in probes:
            calls = _calls(asked, places, probe, hosts)
            checks += [Check(name, probe, probe.ask(call)) for name, call in calls.items()]
        told = answers([check.reference for check in checks], late)
        answered = {check.probe.node.id for check, one in zip(checks, told, strict=True) if not isinstance(one, TimeoutError)}
        mine = here.answer(late)
        for check, one in zip(checks, told, strict=True):
            if check.probe.node.id in answered:
                found += [result.on(check.probe.node.name) for result in _results(check, one, mine)]
        said, remedy = f"it takes no task within {seconds:.0f} s", "look at its load and its Ray logs, or take it out"
        found += [fault("node", said, remedy, Page.NODE).on(node.name) for node in nodes if node.id not in answered]
        found += places.findings
        return found + _afterwards(asked, places, [probe for probe in probes if probe.node.id in answered], found)
    finally:
        for probe in probes:
            probe.stop()


def _calls(asked: Asked, places: Places, probe: Probe, hosts: list[str]) -> dict[str, Callable[[], list[Finding]]]:
    """What is asked of a node, by the name of the check."""
    node = probe.node
    local = Location.of(asked.storage) if asked.storage and places.storage is not None else None
    calls: dict[str, Callable[[], list[Finding]]] = {
        "memory": partial(look_at_memory, node.cpus, node.store),
        "disks": partial(look_at_disks, local.path if local is not None and local.is_local else None),
        "limits": partial(look_at_limits, node.cpus),
        "name and proxies": partial(look_at_name, hosts),
        "GPUs": partial(look_at_gpus, node.gpus),
    }
    if places.storage is not None:
        calls["storage"] = partial(write_and_read, places.storage, name_of(places.storage, probe))
    if places.data is not None:
        calls["data"] = partial(look_at_data, places.data)
    return calls


def _results(check: Check, told: Any, here: Any) -> list[Finding]:
    """What a node found, or a fault in place of what it did not."""
    if isinstance(told, BaseException):
        places = check.name in ("storage", "data")
        return [refused(check.name, told, CHECK_SECONDS) if places else failed(check.name, told, CHECK_SECONDS)]
    if check.name == versions.CHECK:
        return versions.compare(here, told)
    return list(told)


def _afterwards(asked: Asked, places: Places, probes: list[Probe], found: list[Finding]) -> list[Finding]:
    """An all-reduce, and meanwhile clocks, network, and what nodes wrote."""
    late = time.monotonic() + LAST_SECONDS
    unusable = {one.node for one in found if one.page is Page.GPU and one.state is State.FAULT}
    able = [probe for probe in probes if probe.node.name not in unusable]
    reduce = group.begin(able, asked.workers, late) if able else untried("NCCL", "no GPU can be used")
    half = time.monotonic() + LAST_SECONDS / 2
    more = look_at_clocks(probes, half) + look_at_network(probes, half)
    if places.storage is not None:
        wrote = {one.node for one in found if one.check == "storage" and one.state is State.FINE}
        more += compare_and_remove(places.storage, [probe for probe in probes if probe.node.name in wrote], late)
    return more + group.end(reduce, late)
