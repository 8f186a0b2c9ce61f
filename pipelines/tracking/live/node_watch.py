"""Reads every node that works for a run, now and then, from a thread of the run's recorder.

The recorder reads its own node, and has an actor on each other one: nodes that come get one, and a node that goes takes its
own with it. An actor, though it asks for no CPU, makes a node look busy to Ray's autoscaler: it ends on a node that nobody uses.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray

from pipelines.jobs.deaths import cause_of
from pipelines.jobs.ray_cluster import only_on, this_node
from pipelines.jobs.ray_quirks.cluster import nodes_in_use
from pipelines.tracking.figures import SYSTEM
from pipelines.tracking.live.node_readings import NodeReadings

SECONDS = 10.0  # as MLflow's own monitor has it
POINTS = 1000  # of a curve, before its readings come apart: those of a run of weeks stay few
PATIENCE = 5.0  # seconds that a node has to answer
IDLE_LOOKS = 2  # at a node that nobody uses, before its actor ends
MOST_FAILURES = 2  # of actors on a node, before it gets none any more
SWITCH, INTERVAL = "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL"  # MLflow's own settings


@dataclass(frozen=True)
class Readings:
    """How a run's nodes are read.

    Attributes:
        seconds: between two readings, at least.
        named: whether figures have the node's name from the first one on; they have it once there are several.
    """

    seconds: float
    named: bool


def reading_seconds(wished: float | None, *, trial: bool) -> float:
    """Seconds between two readings, 0 for none, of a setting; a trial of a sweep has none, unless they are wished.

    Args:
        wished: seconds; `None` takes MLflow's settings of the environment, or 10.
        trial: whether the run is one of many at a time.
    """
    if wished is not None:
        return wished
    if trial or os.environ.get(SWITCH, "").strip().lower() in ("false", "0"):
        return 0.0
    with suppress(ValueError):
        return float(os.environ.get(INTERVAL, ""))
    return SECONDS


class NodeWatch:
    """Starts at once, and goes on until it is closed.

    Args:
        tell: takes figures by their recorded names, and the number of the reading.
        readings: how often, and how they are named.
        first: number of the first reading.
        say: takes a sentence for the user.
    """

    def __init__(
        self, tell: Callable[[dict[str, float], int], None], readings: Readings, first: int, say: Callable[[str], None]
    ) -> None:
        self._tell, self._say, self._seconds, self._named, self._number = tell, say, readings.seconds, readings.named, first
        self._actors: dict[str, Any] = {}
        self._unused = Counter[str]()  # looks in a row at which nobody used a node
        self._failures = Counter[str]()  # of actors on a node
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="node-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Read once more, and end the actors."""
        self._closed.set()
        self._thread.join(2 * PATIENCE)
        for node in list(self._actors):
            self._end(node)

    def _watch(self) -> None:
        try:
            self._go_on(this_node(), NodeReadings())
        except Exception as error:  # whatever it is, figures of machines must not stop a run
            if self._closed.is_set() and isinstance(error, ray.exceptions.RayError):  # Ray ends, and with it the run
                return
            self._say(f"what the nodes do is not recorded from here on: {type(error).__name__}: {error}")

    def _go_on(self, here: str, mine: NodeReadings) -> None:
        began = time.monotonic()
        while not self._closed.is_set():
            self._closed.wait(max(self._seconds, (time.monotonic() - began) / POINTS))
            self._tell(self._read(here, mine), self._number)
            self._number += 1

    def _read(self, here: str, mine: NodeReadings) -> dict[str, float]:
        """Figures of all nodes, those of the others while they answer in time."""
        alive = {node["NodeID"]: node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]}
        if not self._closed.is_set():
            self._place(alive.keys() - {here})
        self._named = self._named or len(alive) > 1
        asked = {actor.read.remote(): node for node, actor in self._actors.items()}
        found = {here: mine.read()}
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PATIENCE) if asked else ([], [])
        for reference in answered:
            try:
                found[asked[reference]] = ray.get(reference)
            except ray.exceptions.RayError as error:
                self._failed(asked[reference], alive, error)
        return {
            f"{self._section(node, alive)}{name}": value
            for node, figures in found.items() if node in alive for name, value in figures.items()
        }  # fmt: skip

    def _place(self, others: set[str]) -> None:
        """Have an actor on each node that is used, and on no other."""
        used = nodes_in_use()
        for node in {*self._actors} - others:
            self._end(node)
        for node in others:
            self._unused[node] = 0 if node in used else self._unused[node] + 1
            if node in used and node not in self._actors and self._failures[node] < MOST_FAILURES:
                actor: Any = ray.remote(num_cpus=0, max_restarts=0, scheduling_strategy=only_on(node))(NodeReadings)
                self._actors[node] = actor.remote()
            elif self._unused[node] >= IDLE_LOOKS:
                self._end(node)

    def _failed(self, node: str, alive: dict[str, str], error: Exception) -> None:
        """End the actor of a node, which gets another unless too many failed there; on a node that goes one does."""
        self._end(node)
        self._failures[node] += 1
        if self._failures[node] == MOST_FAILURES:
            where = alive.get(node, node[:6])
            self._say(
                f"what node {where} does is not recorded from here on: its reader failed {MOST_FAILURES} times: {cause_of(error)}"
            )

    def _end(self, node: str) -> None:
        if (actor := self._actors.pop(node, None)) is not None:
            with suppress(ray.exceptions.RayError):
                ray.kill(actor)

    def _section(self, node: str, alive: dict[str, str]) -> str:
        """What the names of a node's figures begin with: its address, and a part of its id where several have that."""
        if not self._named:
            return f"{SYSTEM}/"
        alone = Counter(alive.values())[alive[node]] == 1
        return f"{SYSTEM}/{alive[node]}{'' if alone else f'-{node[:6]}'}/"
