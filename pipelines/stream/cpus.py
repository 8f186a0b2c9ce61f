"""How much of the cluster's CPUs its tasks ask for and use."""

from __future__ import annotations

import math
import os

import ray


def share_of_a_cpu() -> float:
    """CPUs to ask Ray for, for each of many tasks that keep one busy: a little less than one.

    A node has one such task more than it has CPUs for them, where a training worker has one too, so that none is idle while Ray
    hands out the next: on two cores a quarter more images a second.
    """
    largest = max(cpus_of_nodes())
    return math.floor(1e4 * max(largest - 1, 2) / max(largest, 3)) / 1e4  # as fine as Ray counts


def free_cpus() -> int:
    """CPUs of the cluster that nobody has reserved now, or one."""
    return max(1, int(ray.available_resources().get("CPU", 0)))


def cpus_of_each(tasks: int) -> int:
    """CPUs that the threads of each of so many tasks may use where these have the cluster to themselves, on any of its nodes.

    Ray is asked for one: for more, a task might wait for ever beside another job.
    """
    nodes = cpus_of_nodes()
    return max(1, min(*nodes, sum(nodes) // tasks))


def own_cpus() -> int:
    """CPUs of this machine that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cpus_of_nodes() -> list[int]:
    """CPUs of each node that has some."""
    found = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    return [cpus for cpus in found if cpus] or [1]
