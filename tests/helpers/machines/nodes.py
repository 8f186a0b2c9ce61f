"""Several raylets of this machine, each a node with CPUs of its own, and commands that run on them."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import psutil
from ray._private.node import Node
from ray.cluster_utils import Cluster

from tests.helpers.places import ROOT

STORE = 200 << 20  # bytes of a node's object store


@contextlib.contextmanager
def nodes(head: int, *others: int) -> Iterator[Cluster]:
    """A cluster for as long as the block lasts: the CPUs of its head, and of each other node."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": head, "object_store_memory": STORE})
    try:
        for cpus in others:
            made.add_node(num_cpus=cpus, object_store_memory=STORE)
        yield made
    finally:
        made.shutdown()


def roles_on(node: Node) -> set[str]:
    """What the processes of a node are for: of the driver's one is the recorder."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    titles = [process.cmdline()[:1] for process in raylet.children(recursive=True)]
    return {title[0].removeprefix("ray::").partition(".")[0].partition(":")[0] for title in titles if title}


def quorum(*given: str) -> subprocess.Popen[str]:
    """A command, started."""
    command = [sys.executable, "-m", "quorum", *given]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT)


def finish(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """What a command says that ends well within the time."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Until the condition holds, of a command that must not end before."""
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
