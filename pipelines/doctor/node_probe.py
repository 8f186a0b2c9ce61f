"""A small actor on each node that makes checks there, each in a thread of its own, so that none waits for one that hangs.

The actor travels whole, and not by the name of a module: a node without this package, or with another version of it, has it too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

import ray

from pipelines.doctor.findings import Finding, Page, fault
from pipelines.errors import UserError
from pipelines.jobs.ray_cluster import only_on
from pipelines.secrets import hidden

Result = TypeVar("Result")
THREADS = 16  # checks of a node at a time; those that hang keep theirs
MOST_SAID = 200  # characters of what a library says


@dataclass(frozen=True)
class Node:
    """A node of the cluster as Ray knows it.

    Attributes:
        id: Ray's own.
        name: its address, with a part of the id: several nodes may be on one machine.
        host: its address alone.
        cpus: that Ray gives out there.
        gpus: likewise.
        store: bytes of its object store.
    """

    id: str
    name: str
    host: str
    cpus: float
    gpus: float
    store: float

    @classmethod
    def all(cls) -> list[Node]:
        """Those that are alive."""
        found = []
        for row in (row for row in ray.nodes() if row["Alive"]):
            has, host = row["Resources"], row["NodeManagerAddress"]
            counts = (float(has.get(name, 0)) for name in ("CPU", "GPU", "object_store_memory"))
            found.append(cls(row["NodeID"], f"{host} ({row['NodeID'][:6]})", host, *counts))
        return found


@dataclass
class Probe:
    """The actor of a node, and what was asked of it.

    Attributes:
        node: where it is.
        actor: its handle.
    """

    node: Node
    actor: Any

    @classmethod
    def start(cls, node: Node) -> Probe:
        """Start one; it waits for nothing but a process."""
        made = ray.remote(num_cpus=0, max_restarts=0, max_concurrency=THREADS, scheduling_strategy=only_on(node.id))
        return cls(node, made(_travelling()).remote())

    def ask(self, function: Callable[[], Any]) -> Any:
        """A reference to what the function returns there."""
        return self.actor.run.remote(ray.cloudpickle.dumps(function))

    def stop(self) -> None:
        """End its process, with all that hangs in it."""
        ray.kill(self.actor)


def _travelling() -> type:
    class Doctor:
        """Made in a function, so that it is sent by its code."""

        def run(self, packed: bytes) -> Any:
            import ray

            return ray.cloudpickle.loads(packed)()

        def now(self) -> float:
            import time

            return time.time()

        def make(self, size: int) -> Any:
            import numpy as np

            return np.ones(size, np.uint8)

        def fetch(self, made: list[Any]) -> float:
            import time

            import ray

            start = time.perf_counter()
            ray.get(made[0])
            return time.perf_counter() - start

    return Doctor


def answers(references: Sequence[Any], deadline: float) -> list[Any]:
    """What came until `time.monotonic()` is `deadline`: a result, the exception that was raised, or a `TimeoutError`."""
    if not references:
        return []
    came, _ = ray.wait(list(references), num_returns=len(references), timeout=max(deadline - time.monotonic(), 0.1))
    there = set(came)
    found: list[Any] = []
    for reference in references:
        try:
            found.append(ray.get(reference, timeout=0.5) if reference in there else TimeoutError())
        except ray.exceptions.GetTimeoutError:
            found.append(TimeoutError())
        except ray.exceptions.RayTaskError as error:
            found.append(error.cause)
        except ray.exceptions.RayError as error:
            found.append(error)
    return found


class Begun(Future[Result]):
    """A call in a thread of this process, which nobody waits for at the end where it hangs.

    Args:
        function: is called.
    """

    def __init__(self, function: Callable[[], Result]) -> None:
        super().__init__()
        threading.Thread(target=self._run, args=(function,), daemon=True).start()

    def _run(self, function: Callable[[], Result]) -> None:
        try:
            self.set_result(function())
        except BaseException as error:
            self.set_exception(error)

    def answer(self, deadline: float) -> Any:
        """As `answers` has it."""
        try:
            return self.result(max(deadline - time.monotonic(), 0.1))
        except BaseException as error:
            return error


def failed(check: str, error: BaseException, seconds: float) -> Finding:
    """A check that did not come to its end, as a fault.

    Args:
        check: its name.
        error: that it raised, or a `TimeoutError`.
        seconds: that it had.
    """
    if isinstance(error, TimeoutError):
        return fault(
            check, f"no answer within {seconds:.0f} s", "look at what holds it there, and at that node's load", Page.NODE
        )
    if isinstance(error, UserError):
        return fault(check, str(error), "", Page.DATA)
    said = hidden(f"{type(error).__name__}: {error}".split("\n", maxsplit=1)[0])[:MOST_SAID]
    if isinstance(error, ImportError):
        return fault(check, f"this version of Quorum is not there ({said})", "install it on that node", Page.VERSIONS)
    if isinstance(error, ray.exceptions.RayError):
        return fault(check, f"its process ended ({said})", "look at Ray's logs on that node", Page.NODE)
    return fault(check, f"the check itself failed ({said})", "look at what it says", Page.NODE)
