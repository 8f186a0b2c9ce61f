"""What the nodes of a run do, as its record has it: on one node, and on several that come, go and are idle."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import ray
from mlflow.tracking import MlflowClient

from pipelines.tracking.figures import is_known
from pipelines.tracking.journal import read_journal
from pipelines.tracking.live import node_watch
from pipelines.tracking.live.node_readings import NodeReadings
from pipelines.tracking.live.node_watch import NodeWatch, Readings, reading_seconds
from pipelines.tracking.mlflow_store import start_run
from pipelines.tracking.recorder import start_recorder
from tests.helpers.places import ROOT

OF_A_NODE = {  # without a GPU
    "cpu_utilization_percentage", "system_memory_usage_megabytes", "system_memory_usage_percentage", "network_receive_megabytes",
    "network_transmit_megabytes", "object_store_usage_megabytes", "object_store_usage_percentage",
    "object_store_spilled_megabytes",
}  # fmt: skip
SEVERAL = """
import sys, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from ray._private import state
from pipelines.jobs.ray_cluster import only_on
from pipelines.tracking.journal import read_journal
from pipelines.tracking.live.node_watch import Readings
from pipelines.tracking.mlflow_store import RunAddress
from pipelines.tracking.recorder import start_recorder

folder = Path(sys.argv[1])
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20})
ray.init(cluster.address, log_to_driver=False)

def add():
    return cluster.add_node(num_cpus=1, object_store_memory=100 << 20)

def until(condition, what):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)

def newest():
    found = [entry["readings"] for entry in read_journal(folder) if entry.get("kind") == "system"]
    return {name.split("/")[1].rpartition("-")[2] for name in found[-1]} if found else set()

def actors():
    return [one for one in state.actors().values() if one["ActorClassName"] == "NodeReadings" and one["State"] == "ALIVE"]

class Busy:
    def ready(self):
        return True

def use(node):
    busy = ray.remote(num_cpus=1, scheduling_strategy=only_on(node.node_id))(Busy).remote()
    ray.get(busy.ready.remote())
    return busy

head, used, idle = cluster.head_node.node_id[:6], add(), add()
address = RunAddress(f"sqlite:///{folder}/none.db", "1", "1")
record = start_recorder(str(folder), str(folder), address, readings=Readings(0.2, named=True))
busy = use(used)
until(lambda: newest() == {head, used.node_id[:6]}, f"the used one alone: {newest()}")
late = add()
more = use(late)
until(lambda: newest() == {head, used.node_id[:6], late.node_id[:6]}, "one that comes later")
cluster.remove_node(used, allow_graceful=False)
until(lambda: newest() == {head, late.node_id[:6]}, "one that goes")
ray.kill(more)
until(lambda: newest() == {head} and not actors(), "one that nobody uses any more")
more = use(late)
until(lambda: len(actors()) == 1, "used again")
record.close("FINISHED")
until(lambda: not actors(), "the end of the run")
ray.shutdown()
cluster.shutdown()
print("done")
"""


@pytest.mark.ray
@pytest.mark.job
def test_a_run_has_what_its_node_does_under_mlflows_names_and_goes_on_counting(local_ray, store, tmp_path):
    address = start_run(store.uri, "quorum", "first", params={}, tags={})

    def told() -> int:
        return sum("readings" in entry for entry in read_journal(tmp_path / "run"))

    for _ in range(2):  # the second as a resume would
        before = told() if (tmp_path / "run").exists() else 0
        record = start_recorder(str(tmp_path / "run"), str(tmp_path / "run"), address, readings=Readings(0.1, named=False))
        record.metrics({"train/loss": 0.5}, 7, wait=True)
        wait_until(lambda before=before: told() > before)
        assert record.close("FINISHED") == []
    client = MlflowClient(address.uri)
    found = {name for name in client.get_run(address.run_id).data.metrics if name.startswith("system/")}
    assert {f"system/{name}" for name in OF_A_NODE} == {name for name in found if "gpu" not in name}
    assert all(map(is_known, found))
    points = client.get_metric_history(address.run_id, "system/cpu_utilization_percentage")
    assert [point.step for point in points] == list(range(len(points)))
    assert len(points) >= 2
    assert all(0 <= point.value <= 100 for point in points)
    memory = client.get_metric_history(address.run_id, "system/system_memory_usage_megabytes")[0].value
    assert 100 < memory * 1e6 / os.sysconf("SC_PAGE_SIZE") < os.sysconf("SC_PHYS_PAGES")
    values = [entry["values"] for entry in read_journal(tmp_path / "run") if "values" in entry]
    assert values == [{"train/loss": 0.5}] * 2  # figures of machines are none of the run's


class FailingReadings(NodeReadings):
    """Reads nothing on the nodes that the recorder is not on."""

    def read(self):
        if ray.get_runtime_context().get_actor_id():
            raise OSError("no such device")
        return super().read()


class Busy:
    def ready(self):
        return True


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.ray
@pytest.mark.job
def test_a_node_whose_reader_fails_is_given_up_and_that_is_said_once(local_ray, monkeypatch):
    monkeypatch.setattr(node_watch, "NodeReadings", FailingReadings)
    monkeypatch.setattr(node_watch, "this_node", lambda: "another")  # so that this one is read by an actor
    (address,) = (node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])
    busy, readings, said = ray.remote(num_cpus=1)(Busy).remote(), [], []
    ray.get(busy.ready.remote())
    watch = NodeWatch(lambda figures, number: readings.append(figures), Readings(0.05, named=True), 0, said.append)
    wait_until(lambda: said)
    later = len(readings) + 5
    wait_until(lambda: len(readings) > later)
    assert watch._actors == {}
    watch.close()
    ray.kill(busy)
    (sentence,) = said
    assert sentence == (
        f"what node {address} does is not recorded from here on: its reader failed 2 times: OSError: no such device"
    )


@pytest.mark.ray
def test_the_end_of_all_readings_is_said_whatever_it_is(local_ray):
    def tell(figures, number):
        raise ray.exceptions.GetTimeoutError("no answer")

    said = []
    watch = NodeWatch(tell, Readings(0.05, named=False), 0, said.append)
    wait_until(lambda: said)
    watch.close()
    assert said == ["what the nodes do is not recorded from here on: GetTimeoutError: no answer"]


@pytest.mark.ray
@pytest.mark.slow
def test_nodes_that_come_go_and_idle(tmp_path):
    """A node that is used is read, one that is idle has no actor that would keep it, and one that goes costs nothing."""
    command, paths = [sys.executable, "-c", SEVERAL, str(tmp_path)], os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=paths, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.splitlines()[-1:] == ["done"], done.stderr[-3000:]


@pytest.mark.parametrize(
    ("wished", "trial", "environment", "seconds"),
    [
        (None, False, {}, 10.0),
        (None, True, {}, 0.0),
        (30.0, True, {}, 30.0),
        (0.0, False, {}, 0.0),
        (None, False, {"MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL": "20"}, 20.0),
        (None, False, {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}, 0.0),
        (5.0, False, {"MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false"}, 5.0),
    ],
)
def test_how_often_nodes_are_read(monkeypatch, wished, trial, environment, seconds):
    for name in ("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert reading_seconds(wished, trial=trial) == seconds


@pytest.mark.parametrize("name", ["system/cpu_utilization", "system/a/b/cpu_utilization_percentage", "gpu_0_power_usage_watts"])
def test_other_names_are_no_figures_of_a_machine(name):
    assert not is_known(name)
