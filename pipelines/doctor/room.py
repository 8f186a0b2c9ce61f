"""Whether the cluster has what workers would ask for."""

from __future__ import annotations

import ray

from pipelines.doctor.findings import Finding, Page, fault, fine, noted
from pipelines.doctor.node_probe import Node


def look_at_nodes(nodes: list[Node], asked: int | None) -> list[Finding]:
    """How many nodes there are, and how many were lost.

    Args:
        nodes: that are alive.
        asked: how many there should be; `None` for any number.
    """
    lost = [row["NodeManagerAddress"] for row in ray.nodes() if not row["Alive"]]
    found = [fine("nodes", f"{len(nodes)} alive")]
    if asked is not None and len(nodes) < asked:
        remedy = "start the others, with the Python and Ray of this one (others are refused), and look at their logs"
        found = [fault("nodes", f"{asked} nodes are asked for, {len(nodes)} are there", remedy, Page.NODE)]
    if lost:
        said = f"{len(lost)} nodes were lost since the cluster started (the last at {lost[-1]})"
        found.append(noted("nodes", said, "look at Ray's logs there; spot machines go like that", Page.NODE))
    return found


def look_at_room(nodes: list[Node], *, workers: int | None, cpus_each: int, gpus: int | None) -> list[Finding]:
    """Whether so many workers, and a task of the stream beside them, have a place; whether others are at work.

    Args:
        nodes: that are alive.
        workers: of a job; `None` where it is not known.
        cpus_each: CPUs of a worker.
        gpus: of all workers; `None` for none.
    """
    all_cpus, all_gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    found = [_cpus(nodes, all_cpus, workers, cpus_each), _gpus(nodes, all_gpus, gpus)]
    free = ray.available_resources()
    for name, total in (("CPU", all_cpus), ("GPU", all_gpus)):
        taken = total - free.get(name, 0)
        if total and taken > 0:
            remedy = "a job waits until they are free; ray status says who has them"
            found.append(noted(f"{name}s", f"{taken:g} of {total:g} {name}s are in use", remedy, Page.ROOM))
    return found


def _cpus(nodes: list[Node], total: float, workers: int | None, each: int) -> Finding:
    check, page = "CPUs", Page.ROOM
    if not total:
        return fault(check, "the cluster has no CPU for a task", "add a node with --num-cpus", page)
    if workers is None:
        return fine(check, f"{total:g}")
    room = sum(int(node.cpus // each) for node in nodes)
    asked = f"{workers} workers of {each} CPUs"
    if room < workers:
        largest = max(node.cpus for node in nodes)
        said = f"{asked} are asked for, and the nodes have room for {room} (the largest has {largest:g} CPUs)"
        return fault(check, said, "lower compute.workers or compute.cpus_per_worker, or add nodes", page)
    if total < workers * each + 1:
        said = f"{asked} leave no CPU of {total:g} to the tasks that read and decode"
        return fault(check, said, "lower compute.workers or compute.cpus_per_worker, or add a node for them", page)
    return fine(check, f"{total:g}, of which {workers * each} for workers")


def _gpus(nodes: list[Node], total: float, asked: int | None) -> Finding:
    if asked and total < asked:
        where = ", ".join(f"{node.name} has {node.gpus:g}" for node in nodes if node.gpus) or "no node has one"
        said = f"{asked} GPUs are asked for, the cluster has {total:g}: {where}"
        return fault("GPUs", said, "add nodes or start them with --num-gpus, or lower compute.workers", Page.ROOM)
    return fine("GPUs", f"{total:g}" + (f", {asked} asked for" if asked else ""))
