"""Nodes that come with the load, go with it, and are lost: a head without CPUs and Ray's autoscaler on this machine."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.tracking.journal import read_journal
from tests.helpers.machines.autoscaling import IDLE_SECONDS, AutoscaledCluster, autoscaled_cluster, roles_on
from tests.helpers.places import ROOT
from tests.helpers.runs.killed_runs import differing, final_state, learned, store_of
from tests.helpers.runs.small_runs import RECIPE, STEPS, words

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
MOST = 3  # nodes
READ = """
import sys, time
from pathlib import Path
import ray
from pipelines.jobs.ray_cluster import connect
from pipelines.tracking.live.node_watch import Readings
from pipelines.tracking.mlflow_store import RunAddress
from pipelines.tracking.recorder import start_recorder

folder = Path(sys.argv[1])
connect(sys.argv[2])
address = RunAddress(f"sqlite:///{folder}/none.db", "1", "1")
record = start_recorder(str(folder), str(folder), address, readings=Readings(0.5, named=True))

class Busy:
    def ready(self):
        return True

busy = ray.remote(num_cpus=1)(Busy).remote()
ray.get(busy.ready.remote())
time.sleep(3)  # some readings
ray.kill(busy)
(folder / "unused").touch()
while not (folder / "gone").exists():
    time.sleep(0.1)
record.metrics({"train/loss": 1.0}, 1, wait=True)
record.close("FINISHED")
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[AutoscaledCluster]:
    with autoscaled_cluster(cpus=1, most=MOST) as made:
        yield made


def pretrain(cluster: AutoscaledCluster, log: Path, given: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "quorum", "pretrain", "--address", cluster.address, "--config", RECIPE, *given]
    with log.open("w") as said:
        return subprocess.Popen(command, cwd=ROOT, env=cluster.environment, stdout=said, stderr=subprocess.STDOUT)


def wait_until(process: subprocess.Popen[bytes], log: Path, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 300
    while not condition():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def finish(process: subprocess.Popen[bytes], log: Path) -> str:
    process.wait(timeout=400)
    assert process.returncode == 0, log.read_text()
    return log.read_text()


def test_a_job_brings_the_nodes_it_asks_for_and_they_go_when_it_is_done(cluster, digits, tmp_path):
    cluster.wait_for_nodes(0)
    log = tmp_path / "log"
    given = ["--compute.workers", "2", "--epochs", "2", "--tracking.system_seconds", "1"]
    process = pretrain(cluster, log, words(digits, tmp_path, "grown", *given))
    most = 0
    while process.poll() is None:
        most = max(most, len(cluster.nodes()))
        time.sleep(0.2)
    said = finish(process, log)
    assert "waiting for 3 CPUs; the cluster has 0 now" in said
    assert most == MOST  # a worker on each of two, the stream's tasks on the third
    assert final_state(tmp_path / "grown", 2)["workers"] == 2
    cluster.wait_for_nodes(0, seconds=IDLE_SECONDS + 60)


def test_a_lost_spot_node_costs_at_most_one_checkpoint_interval(cluster, straight, digits, tmp_path):
    log, store = tmp_path / "log", store_of(tmp_path / "spot")
    process = pretrain(cluster, log, words(digits, tmp_path, "spot", "--compute.workers", "1"))
    wait_until(process, log, lambda: (entry := store.latest()) is not None and entry.global_step > STEPS)
    lost = next(node for node in cluster.nodes() if "RayTrainWorker" in roles_on(node))
    lost.kill()
    folder = tmp_path / "spot" / "checkpoints"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.pt")}
    finish(process, log)
    assert len(before) > 3
    assert {path: path.stat().st_mtime_ns for path in before} == before  # nothing before the last checkpoint was done again
    assert differing(learned(final_state(straight, 4)), learned(final_state(tmp_path / "spot", 4))) == []


def test_a_node_that_a_run_reads_goes_when_nobody_uses_it_though_the_run_goes_on(cluster, tmp_path):
    cluster.wait_for_nodes(0)
    log = tmp_path / "log"
    with log.open("w") as said:
        command = [sys.executable, "-c", READ, str(tmp_path), cluster.address]
        process = subprocess.Popen(command, cwd=ROOT, env=cluster.environment, stdout=said, stderr=subprocess.STDOUT)
    wait_until(process, log, (tmp_path / "unused").exists)
    read = {name.split("/")[1] for entry in read_journal(tmp_path) if entry["kind"] == "system" for name in entry["readings"]}
    assert len(read) == 2  # the head, and the node that came
    cluster.wait_for_nodes(0, seconds=IDLE_SECONDS + 60)
    assert process.poll() is None, log.read_text()
    (tmp_path / "gone").touch()
    finish(process, log)
