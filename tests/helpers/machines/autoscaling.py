"""A cluster of this machine whose nodes come and go with the load, by Ray's fake provider."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from ray.autoscaler._private.fake_multi_node.node_provider import FAKE_HEAD_NODE_ID, FAKE_HEAD_NODE_TYPE, FakeMultiNodeProvider
from ray.util import get_node_ip_address

STORE = 100 << 20  # bytes of a node's object store
IDLE_SECONDS = 6
START_SECONDS = 180


@dataclass(frozen=True)
class AutoscaledCluster:
    """A head without CPUs; other nodes are there while something asks for them.

    Attributes:
        address: of the head, `host:port`.
        environment: for processes that join it.
        head: the process that everything of the cluster descends from.
    """

    address: str
    environment: dict[str, str]
    head: psutil.Process

    def nodes(self) -> list[psutil.Process]:
        """The raylets that the autoscaler started: children of its own process, as the head's is not."""
        monitor = next(child for child in self.head.children() if any("monitor.py" in word for word in _cmdline(child)))
        return [child for child in monitor.children(recursive=True) if "/raylet/raylet" in "".join(_cmdline(child)[:1])]

    def wait_for_nodes(self, count: int, seconds: float = START_SECONDS) -> None:
        """Until so many nodes are there beside the head."""
        deadline = time.monotonic() + seconds
        while (found := len(self.nodes())) != count:
            assert time.monotonic() < deadline, f"{found} nodes, not {count}"
            time.sleep(0.2)


def roles_on(raylet: psutil.Process) -> set[str]:
    """What the processes of a node are for."""
    titles = [_cmdline(process)[:1] for process in raylet.children(recursive=True)]
    return {title[0].removeprefix("ray::").partition(".")[0].partition(":")[0] for title in titles if title}


def _cmdline(process: psutil.Process) -> list[str]:
    """Of a process that may be gone by now, or be a zombie: nothing then."""
    with suppress(psutil.Error):
        return list(process.cmdline())
    return []


@contextmanager
def autoscaled_cluster(cpus: int, most: int) -> Iterator[AutoscaledCluster]:
    """A cluster of at most `most` nodes of `cpus` CPUs beside the head; its processes and files end with the block."""
    folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # a socket's path is at most 107 characters long
    host, port = get_node_ip_address(), _free_port()
    (folder / "autoscaling.json").write_text(json.dumps(_configuration(f"{host}:{port}", cpus, most)))
    joining = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    starting = {
        "RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID, "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE,
        "RAY_memory_monitor_refresh_ms": "0",  # each node takes the machine's memory for its own
    }  # fmt: skip
    command = [
        sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", str(port), "--num-cpus", "0",
        "--object-store-memory", str(STORE), "--include-dashboard", "false", "--disable-usage-stats", "--temp-dir", str(folder),
        "--autoscaling-config", str(folder / "autoscaling.json"),
    ]  # fmt: skip
    with (folder / "head.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **joining, **starting}, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_for_start(process, folder / "head.log")
        yield AutoscaledCluster(f"{host}:{port}", {**os.environ, **joining}, psutil.Process(process.pid))
    finally:
        # `ray stop` would end every Ray of this machine.
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _configuration(address: str, cpus: int, most: int) -> dict[str, Any]:
    """As `ray up` would hand it to the head.

    The provider is named by its class: by its type Ray looks for an example file, which its wheel lacks.
    """
    provider = f"{FakeMultiNodeProvider.__module__}.{FakeMultiNodeProvider.__name__}"
    return {
        "cluster_name": "fake", "max_workers": most, "upscaling_speed": 1.0, "idle_timeout_minutes": IDLE_SECONDS / 60,
        "provider": {
            "type": "external", "module": provider, "gcs_address": address, "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True, "disable_node_updaters": True, "disable_launch_config_check": True,
        },
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "spot": {
                "resources": {"CPU": cpus, "object_store_memory": STORE}, "node_config": {},
                "min_workers": 0, "max_workers": most,
            },
        },
        "auth": {}, "file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False, "rsync_exclude": [],
        "rsync_filter": [], "initialization_commands": [], "setup_commands": [], "head_setup_commands": [],
        "worker_setup_commands": [], "head_start_ray_commands": [], "worker_start_ray_commands": [],
    }  # fmt: skip


def _wait_for_start(process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "Ray runtime started" not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
