"""An all-reduce among the workers that a job would have: NCCL among GPUs, gloo among nodes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

from pipelines.doctor.findings import Finding, Page, fault, fine, untried
from pipelines.doctor.node_probe import MOST_SAID, Probe, answers
from pipelines.doctor.on_node.gpus import all_reduce, meeting_place
from pipelines.doctor.sizes import in_words
from pipelines.jobs.ray_cluster import only_on

NCCL, GLOO = "nccl", "gloo"
NAMES = {NCCL: "NCCL", GLOO: "gloo"}
MOST_RANKS = 64  # processes that are started for it


@dataclass(frozen=True)
class Group:
    """An all-reduce that is going on: its backend, the ranks' probes and what they return."""

    backend: str
    members: list[Probe]
    sums: list[Any]


def begin(probes: Sequence[Probe], workers: int | None, deadline: float) -> Group | Finding:
    """Start one process for each GPU that is free, or where a job of several workers has none one on each node.

    Args:
        probes: of the nodes that answer.
        workers: of a job; without GPUs nothing is tried for fewer than two.
        deadline: until which it should have ended.
    """
    free = ray._private.state.available_resources_per_node()
    gpus = [probe for probe in probes for _ in range(int(min(free.get(probe.node.id, {}).get("GPU", 0), probe.node.gpus)))]
    given = sum(probe.node.gpus for probe in probes)
    if given and len(gpus) < 2:
        said = "there is one GPU" if given == 1 else f"{len(gpus)} of {given:g} GPUs are free"
        return untried(NAMES[NCCL], said)
    if not given and ((workers or 1) < 2 or len(probes) < 2):
        return untried(NAMES[NCCL], "there is no GPU")
    backend, members = (NCCL, gpus[:MOST_RANKS]) if given else (GLOO, list(probes)[:MOST_RANKS])
    (place,) = answers([members[0].ask(meeting_place)], deadline)
    if isinstance(place, BaseException):
        return untried(NAMES[backend], f"{members[0].node.name} did not answer")
    seconds = max(deadline - time.monotonic() - 1, 1)
    sums = [
        ray.remote(num_cpus=0, num_gpus=int(backend == NCCL), max_retries=0, scheduling_strategy=only_on(member.node.id))(
            all_reduce
        ).remote(rank, len(members), place, backend, seconds)
        for rank, member in enumerate(members)
    ]  # fmt: skip
    return Group(backend, members, sums)


def end(group: Group | Finding, deadline: float) -> list[Finding]:
    """How it ended; what has not is ended."""
    if isinstance(group, Finding):
        return [group]
    told, name = answers(group.sums, deadline), NAMES[group.backend]
    for reference, one in zip(group.sums, told, strict=True):
        if isinstance(one, TimeoutError):
            ray.cancel(reference, force=True)
    wrong = [(member, one) for member, one in zip(group.members, told, strict=True) if isinstance(one, BaseException)]
    if not wrong:
        what = "GPUs" if group.backend == NCCL else "nodes"
        return [fine(name, f"all-reduce among {len(told)} {what}: {in_words(min(told))}/s")]
    member, error = next(((member, one) for member, one in wrong if not isinstance(one, TimeoutError)), wrong[0])
    said = "does not end" if isinstance(error, TimeoutError) else f"fails ({error})".split("\n", maxsplit=1)[0][:MOST_SAID]
    remedy = (
        f"open all ports between the nodes, set {name}_SOCKET_IFNAME to the network's interface"
        + (", and look at NCCL_DEBUG=INFO" if group.backend == NCCL else "")
    )  # fmt: skip
    page = Page.GPU if group.backend == NCCL else Page.NETWORK
    return [fault(name, f"an all-reduce among {len(told)} processes {said}", remedy, page).on(member.node.name)]
