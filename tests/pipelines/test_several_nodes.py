"""Several raylets with their own CPUs as a cluster: a job over all of them, nodes that come late, a sweep, a submitted job."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest
import yaml
from ray.cluster_utils import Cluster

from pipelines.datasets.image_shards import Dataset
from pipelines.runs.checkpoints import INDEX
from tests.helpers.inputs import layouts
from tests.helpers.machines.nodes import STORE, finish, nodes, quorum, roles_on, wait_until
from tests.helpers.places import ROOT
from tests.helpers.runs.killed_runs import differing, final_state, learned, store_of
from tests.helpers.runs.small_runs import RECIPE, STEPS, words

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

RAY = [sys.executable, "-m", "ray.scripts.scripts"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head with one CPU; a test adds the nodes it wants."""
    with nodes(1) as made:
        yield made


def test_a_job_takes_workers_and_tasks_from_all_nodes(cluster, digits, tmp_path):
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    given = words(digits, tmp_path, "spread", "--compute.workers", "2", "--epochs", "2")
    finish(quorum("pretrain", "--address", cluster.address, "--config", RECIPE, *given))
    assert final_state(tmp_path / "spread", 2)["workers"] == 2  # and the stream's tasks: one CPU a node is all there is


def test_a_local_source_is_read_by_the_node_of_the_command_alone(cluster, tmp_path):
    for _ in range(2):
        cluster.add_node(num_cpus=2, object_store_memory=STORE)
    layouts.write_files(tmp_path / "photos", {f"{i % 3}/{i:02d}.jpg": layouts.jpeg(i) for i in range(60)})
    given = ["--to", str(tmp_path / "data"), "--rows-per-shard", "4", "--address", cluster.address]
    said = finish(quorum("ingest", str(tmp_path / "photos"), *given))
    assert f"{tmp_path}/photos is a local path: this node alone reads and writes" in said
    assert Dataset.open(str(tmp_path / "data")).split("train").rows == 60


def test_nodes_that_come_late_are_waited_for_and_used(cluster, digits, tmp_path):
    given = words(digits, tmp_path, "late", "--compute.workers", "2", "--epochs", "2")
    process = quorum("pretrain", "--address", cluster.address, "--config", RECIPE, *given)
    deadline = time.monotonic() + 120
    while not (tmp_path / "late" / "run.json").exists():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(5)
    assert process.poll() is None
    assert store_of(tmp_path / "late").latest() is None
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    finish(process)
    assert final_state(tmp_path / "late", 2)["workers"] == 2


def test_a_sweep_shares_the_nodes_among_its_trials(cluster, digits, tmp_path):
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=STORE)
    given = words(digits, tmp_path, "")
    pairs = dict(zip(given[::2], given[1::2], strict=True)) | {"--epochs": "2"}
    settings = {
        key.removeprefix("--"): yaml.safe_load(value) for key, value in pairs.items() if key not in ("--storage", "--name")
    }
    sweep = {"kind": "pretrain", "recipe": RECIPE, "name": "sweep", "storage": str(tmp_path), "concurrent": 2}
    sweep |= {"settings": settings, "space": {"ratio": {"grid": [0.0, 0.4, 0.8]}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    said = finish(quorum("sweep", "--address", cluster.address, "--config", str(tmp_path / "sweep.yaml")))
    assert "3/3 trials" in said
    assert sum((folder / "outcome.json").exists() for folder in (tmp_path / "sweep").iterdir() if folder.is_dir()) == 3


NOTICE = 25  # seconds


def drain(cluster: Cluster, node: str) -> float:
    """Say that a node is to go, as a cloud's agent does; returns when, by the monotonic clock."""
    given = ["--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    command = [*RAY, "drain-node", "--address", cluster.address, *given, "--deadline-remaining-seconds", str(NOTICE)]
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() + NOTICE


def test_a_loss_that_is_announced_is_saved_for_and_counts_as_no_failure(cluster, digits, tmp_path):
    added = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(3)]
    more = ["--compute.workers", "2", "--epochs", "4", "--batch_size", "8", "--checkpoint.keep_last", "99"]
    given = [*words(digits, tmp_path, "spot"), *more, "--checkpoint.every_steps", "0", "--compute.max_failures", "0"]
    process = quorum("pretrain", "--address", cluster.address, "--config", RECIPE, *given)
    store = store_of(tmp_path / "spot")
    while store.latest() is None:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    lost = next(node for node in added if "RayTrainWorker" in roles_on(node) and "Recorder" not in roles_on(node))
    goes = drain(cluster, lost.node_id)
    while not any(entry.step for entry in store.entries()):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    time.sleep(max(0.0, goes - time.monotonic()))  # to Ray one that goes before has gone without notice
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=1, object_store_memory=STORE)
    finish(process)
    assert final_state(tmp_path / "spot", 4)["workers"] == 2


def test_a_node_with_data_tasks_is_lost_and_nothing_changes(cluster, straight, digits, tmp_path):
    added = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(3)]
    process = quorum("pretrain", "--address", cluster.address, "--config", RECIPE, *words(digits, tmp_path, "tasks"))
    wait_until(process, lambda: (entry := store_of(tmp_path / "tasks").latest()) is not None and entry.global_step > STEPS)
    lost = [node for node in added if not roles_on(node) & {"RayTrainWorker", "Recorder", "TrainController"}]
    cluster.remove_node(lost[0], allow_graceful=False)
    finish(process)
    assert differing(learned(final_state(straight, 4)), learned(final_state(tmp_path / "tasks", 4))) == []


def test_a_smaller_group_goes_on_where_a_node_with_a_worker_is_lost(cluster, digits, tmp_path):
    added = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(2)]
    more = ["--compute.workers", "2", "--compute.min_workers", "1", "--epochs", "6"]
    process = quorum("pretrain", "--address", cluster.address, "--config", RECIPE, *words(digits, tmp_path, "elastic"), *more)
    wait_until(process, lambda: (entry := store_of(tmp_path / "elastic").latest()) is not None and entry.global_step > STEPS)
    lost = [node for node in added if "RayTrainWorker" in roles_on(node) and "Recorder" not in roles_on(node)]
    cluster.remove_node(lost[0], allow_graceful=False)
    finish(process)
    assert final_state(tmp_path / "elastic", 6)["workers"] == 1


def test_the_node_of_a_trial_is_lost_and_its_trial_goes_on_elsewhere(cluster, digits, tmp_path):
    added = [cluster.add_node(num_cpus=1, object_store_memory=STORE) for _ in range(4)]
    given = words(digits, tmp_path, "")
    pairs = dict(zip(given[::2], given[1::2], strict=True))
    settings = {
        key.removeprefix("--"): yaml.safe_load(value) for key, value in pairs.items() if key not in ("--storage", "--name")
    }
    sweep = {"kind": "pretrain", "recipe": RECIPE, "name": "sweep", "storage": str(tmp_path), "concurrent": 2}
    sweep |= {"settings": settings, "space": {"ratio": {"grid": [0.4, 0.8]}}}
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    process = quorum("sweep", "--address", cluster.address, "--config", str(tmp_path / "sweep.yaml"))
    runs = tmp_path / "sweep"
    # With a CPU a node the two are on two nodes, so that one of them is not the sweep's.
    wait_until(process, lambda: sum((run / "checkpoints" / INDEX).exists() for run in runs.glob("*")) == 2)
    trial = {"ImplicitFunc", "run_trial", "ResourceTrainable"}
    lost = [node for node in added if roles_on(node) & trial and "Recorder" not in roles_on(node)]
    cluster.remove_node(lost[0], allow_graceful=False)
    assert "2/2 trials" in finish(process)


@pytest.fixture
def head() -> Iterator[str]:
    """A head with a job server, as `ray start` makes it; yields the server's address."""
    ports = {name: str(free_port()) for name in ("port", "dashboard-port", "dashboard-agent-listen-port")}
    given = [word for name, port in ports.items() for word in (f"--{name}", port)]
    command = [*RAY, "start", "--head", "--block", "--num-cpus", "3", *given]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{ports['dashboard-port']}"
    deadline = time.monotonic() + 200
    while subprocess.run(
        [*RAY, "job", "submit", "--address", address, "--", "true"], capture_output=True, check=False
    ).returncode:
        assert time.monotonic() < deadline, "the job server does not answer"
        time.sleep(1)
    yield address
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:  # `ray stop` would end every Ray of this machine
        one.kill()


def test_a_submitted_job_runs_from_the_uploaded_project(head, digits, tmp_path):
    given = words(digits, tmp_path, "submitted", "--epochs", "2")
    command = [
        sys.executable,
        "-m",
        "quorum",
        "pretrain",
        "--address",
        "auto",
        "--config",
        "quorum/recipes/coke_digits.yaml",
        *given,
    ]
    submit = ["job", "submit", "--address", head, "--working-dir", ".", "--", *command]
    done = subprocess.run([*RAY, *submit], cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr
    assert final_state(tmp_path / "submitted", 2)["workers"] == 1
