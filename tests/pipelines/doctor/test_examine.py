"""Faults that are real, on nodes of one cluster: each is named, with its node, within a minute."""

from __future__ import annotations

import functools
import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from pipelines.doctor import examine
from pipelines.doctor.examine import Asked
from pipelines.doctor.findings import Finding, Page, State
from tests.helpers.inputs.digit_shards import write_digits
from tests.helpers.machines.needs import needs_mounts
from tests.helpers.machines.s3 import BUCKET, KEYS, Faults, S3Server

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), needs_mounts]

PYTHON = platform.python_version()
STORE = 200 << 20  # bytes of a node's object store
OTHER = """
import importlib.metadata, platform, time
_time = time.time
time.time = lambda: _time() + 90
platform.python_version = lambda: "3.10.1"
_version = importlib.metadata.version
importlib.metadata.version = lambda name: "9.9" if name == "quorum-kmeans" else _version(name)
"""  # what Python does first on a node that differs
MOUNTS = """
mount -t tmpfs -o size=64m tmpfs /dev/shm
mount --bind {bare} {data}
mount --bind {storage} {storage} && mount -o remount,ro,bind {storage}
mount -t tmpfs -o size=2m tmpfs {small}
export RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE=1
exec {python} -m ray.scripts.scripts start --address {address} --block --num-cpus 1 --num-gpus 2 --object-store-memory {store}
"""


@dataclass
class Ground:
    """A cluster of a head, a node of other versions, and one with mounts of its own; the places they look at."""

    address: str
    head: str
    other: str
    mounts: str
    data: Path
    storage: Path
    small: Path

    def on(self, node: str, found: list[Finding]) -> list[Finding]:
        """Faults of a node."""
        assert node
        return [one for one in found if one.state is State.FAULT and node[:6] in one.node]


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[S3Server, S3Server]]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    made = S3Server(), S3Server()
    made[1].faults = Faults(expired=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", made[0].endpoint)
        yield made
    for server in made:
        server.close()


@pytest.fixture(scope="module")
def ground(servers, tmp_path_factory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("doctor")
    data, bare, storage, small, shim = (folder / name for name in ("data", "bare", "storage", "small", "shim"))
    write_digits(data, 120, 30)
    for made in (bare, storage, small, shim):
        made.mkdir(parents=True)
    (bare / "quorum.json").write_bytes((data / "quorum.json").read_bytes())  # a manifest without its shards
    (shim / "sitecustomize.py").write_text(OTHER)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": STORE})
    paths = os.pathsep.join([str(shim), os.environ.get("PYTHONPATH", "")])
    cluster.add_node(
        num_cpus=1, object_store_memory=STORE, env_vars={"PYTHONPATH": paths, "AWS_ENDPOINT_URL": servers[1].endpoint}
    )
    known = {node["NodeID"] for node in living(cluster)}
    places = {"bare": bare, "data": data, "storage": storage, "small": small, "python": sys.executable}
    script = MOUNTS.format(address=cluster.address, store=STORE, **places)
    environment = os.environ | {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    process = subprocess.Popen(["unshare", "-m", "sh", "-ec", script], env=environment, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while len(now := {node["NodeID"] for node in living(cluster)}) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.5)
    head = cluster.head_node.node_id
    yield Ground(cluster.address, head, *(known - {head}), *(now - known), data, storage, small)
    ray.shutdown()
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # a raylet ends its own
            one.kill()
    cluster.shutdown()


def living(cluster: Cluster) -> list[dict[str, object]]:
    if not ray.is_initialized():
        ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    return [node for node in ray.nodes() if node["Alive"]]


def sentence(found: list[Finding], page: Page) -> str:
    """Of the one fault of that kind."""
    (one,) = [one for one in found if one.page is page]
    return one.sentence


def test_each_node_has_its_own_faults_named(ground):
    start = time.monotonic()
    asked = Asked(str(ground.address), str(ground.data), str(ground.storage), "http://127.0.0.1:9", nodes=4, workers=3, gpus=8)
    found = examine.examine(asked)
    assert time.monotonic() - start < 60
    assert ground.on(ground.head, found) == []
    other = ground.on(ground.other, found)
    said = [one.said for one in other]
    assert any(one.startswith("it has Python 3.10.1, ") and one.endswith(f"this process {PYTHON}") for one in said)
    assert any(one.startswith("it has Quorum 9.9, this process ") for one in said)
    assert sentence(other, Page.CLOCK).partition(": ")[2].startswith("its clock is 90.0 s ahead of this process's; set it")
    mounts = ground.on(ground.mounts, found)
    assert "so Ray keeps its object store of 210 MB on the disk" in sentence(mounts, Page.SHARED_MEMORY)
    assert f"it does not see 4 of 4 files of {ground.data} as they should be" in sentence(mounts, Page.SHARDS)
    assert f"{ground.storage} cannot be written: its file system is read-only" in sentence(mounts, Page.RIGHTS)
    assert "Ray gives out 2 GPUs, torch " in sentence(mounts, Page.GPU)
    whole = [one for one in found if one.state is State.FAULT and not one.node]
    assert "4 nodes are asked for, 3 are there" in sentence(whole, Page.NODE)
    assert "MLflow at http://127.0.0.1:9 does not answer" in sentence(whole, Page.MLFLOW)
    said = [one.said for one in whole if one.page is Page.ROOM]
    assert "3 workers of 1 CPUs leave no CPU of 3 to the tasks that read and decode" in said
    assert any(one.startswith("8 GPUs are asked for, the cluster has 2: ") for one in said)
    assert list(ground.storage.iterdir()) == []


def test_a_full_disk_and_a_folder_of_its_own_are_named(ground):
    found = examine.examine(Asked(storage=str(ground.small)))
    said = [one.said for one in ground.on(ground.mounts, found) if one.check in ("storage", "disk of storage")]
    assert f"{ground.small} is not the folder that this command sees under that name" in said
    assert any(one.startswith("the disk is full: 2.1 MB of 2.1 MB are free") for one in said)
    assert list(ground.small.iterdir()) == []


def test_a_bucket_that_one_node_does_not_reach_and_another_has_no_key_for_is_named(ground, servers):
    found = examine.examine(Asked(storage=f"s3://{BUCKET}/runs?region=us-east-1"))
    assert [one.state for one in found if one.check == "storage" and ground.head[:6] in one.node] == [State.FINE]
    assert "the credential has expired" in sentence(ground.on(ground.other, found), Page.CREDENTIAL)
    assert "the storage cannot be reached" in sentence(ground.on(ground.mounts, found), Page.REACH)
    assert servers[0].client().list_objects_v2(Bucket=BUCKET).get("Contents", []) == []


def test_a_check_that_hangs_stops_no_other(ground, monkeypatch):
    monkeypatch.setattr(examine, "look_at_limits", functools.partial(sleep, 300))
    monkeypatch.setattr(examine, "CHECK_SECONDS", 20.0)
    start = time.monotonic()
    found = examine.examine(Asked())
    assert time.monotonic() - start < 60
    assert {one.said for one in found if one.check == "limits"} == {"no answer within 20 s"}
    assert len([one for one in found if one.check == "memory"]) == 3
    assert len([one for one in found if one.check == "network"]) == 3


def sleep(seconds: float, _: float) -> list[Finding]:
    """Hang."""
    time.sleep(seconds)
    return []


def test_nodes_without_gpus_find_each_other_by_gloo(ground, monkeypatch):
    from pipelines.doctor.group import Group, begin, end
    from pipelines.doctor.node_probe import Node, Probe

    probes = [Probe.start(node) for node in Node.all() if not node.gpus]
    late = time.monotonic() + 60
    group = begin(probes, 2, late)
    assert isinstance(group, Group)
    (found,) = end(group, late)
    assert (found.state, found.said.startswith("all-reduce among 2 nodes: ")) == (State.FINE, True)
    for probe in probes:
        probe.stop()
