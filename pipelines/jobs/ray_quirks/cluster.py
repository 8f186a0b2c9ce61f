"""What Ray's tables say of a cluster: nodes, what is in use, and what ended jobs still reserve."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import ray
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, remove_placement_group

CONTROLLER = "TrainController"  # the actor of a job of Ray Train that reserves for its workers
COORDINATOR = "ray.data._internal.cluster_autoscaler:get_or_create_autoscaling_coordinator"
OF_THE_FIRST = (  # what makes the actors of Ray Data that outlive every job
    "ray.data._internal.stats:get_or_create_stats_actor",
    COORDINATOR,
    "ray.data._internal.usage.actor:get_or_create_usage_collection_actor",
)


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
        _make(maker)


def start_coordinator() -> None:
    """The actor that shares a cluster among its pipelines and jobs starts now, if there is none.

    Ray Train's controller makes it too, and waits a second for its process before it starts a worker. No issue found.
    """
    _make(COORDINATOR)


def _make(maker: str) -> None:
    module, _, name = maker.partition(":")
    with suppress(ImportError, AttributeError):  # not every Ray has all of them
        getattr(importlib.import_module(module), name)()


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
