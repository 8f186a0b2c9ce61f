"""Everything on a real S3 server that refuses or cuts off some of its requests: the same bits as on a disk."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from benchmarks.chaos.jobs import JOBS, differing, outcome, write_inputs
from pipelines.datasets.image_shards import Dataset
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore
from tests.helpers.machines.s3 import BUCKET, Faults, serving_with_keys

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def server():
    with serving_with_keys() as server:
        server.faults = Faults(busy=0.05, cut=0.01)
        yield server


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """The working folder of all commands; the inputs of the jobs are in it."""
    folder = tmp_path_factory.mktemp("on-s3")
    (folder / "inputs").mkdir()
    write_inputs(folder / "inputs")
    return folder


def start(place: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "quorum", *words, *([] if words[0] == "compare" else ["--address", "local"])]
    paths = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(command, cwd=place, env=paths, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def quorum(place: Path, *words: str, code: int = 0) -> str:
    process = start(place, *words)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == code, said
    assert "Traceback" not in said
    return said


def given(name: str, data: str) -> list[str]:
    return [word.replace("INPUTS/digits", data).replace("INPUTS", data) for word in JOBS[name].given]


@pytest.fixture(scope="module")
def ingested(server, place) -> str:
    """The digits in the bucket, and beside them on the disk."""
    quorum(place, "ingest", "digits", "--val", "0.1", "--to", "inputs/digits")
    quorum(place, "ingest", "digits", "--val", "0.1", "--to", server.uri("digits"))
    return server.uri("digits")


@pytest.fixture(scope="module")
def trained(server, place, ingested) -> str:
    """A run in the bucket that was stopped on its way, lost its machine, and went on from another one."""
    words = ["pretrain", *given("pretrain", ingested), "--storage", server.uri("runs"), "--name", "first"]
    process = start(place, *words, "--tracking.uri", f"sqlite:///{place}/mlflow.db")
    store = CheckpointStore(Location.of(server.uri("runs")) / "first" / "checkpoints")
    while not ((entry := store.latest()) and entry.global_step > 25):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    shutil.rmtree(place / "outputs")  # the local disk is gone
    (place / "elsewhere").mkdir()
    quorum(place / "elsewhere", "pretrain", "--resume", str(Location.of(server.uri("runs")) / "first"))
    return str(Location.of(server.uri("runs")) / "first")


def test_ingest_makes_the_same_data(ingested, place):
    assert Dataset.open(ingested).fingerprint == Dataset.open(str(place / "inputs" / "digits")).fingerprint


def test_a_run_whose_disk_was_lost_ends_in_the_bits_of_one_on_a_disk(server, trained, place):
    local = ["pretrain", *given("pretrain", "inputs/digits"), "--storage", "runs", "--name", "first"]
    quorum(place, *local, "--tracking.uri", f"sqlite:///{place}/local.db")
    assert differing(outcome(place / "runs" / "first"), outcome(server.download("runs/first", place / "down"))) == []
    assert server.faults.made["busy"] > 10
    assert server.faults.made["cut"]


def test_its_scores_and_embeddings_are_made_from_the_bucket(server, trained, place):
    assert "knn" in quorum(place, "evaluate", trained)
    quorum(place, "embed", trained, "--to", server.uri("embeddings"), "--split", "val")
    assert Location.of(server.uri("embeddings")).children()


def test_a_clustering_has_the_same_labels(server, place):
    for number, file in enumerate(sorted((place / "inputs" / "vectors").iterdir())):
        server.client().upload_file(str(file), BUCKET, f"vectors/part-{number}.parquet")
    words = given("cluster", "inputs")
    rest = words[words.index("--num_clusters") :]
    for data, to in (("inputs/vectors", "clusters"), (server.uri("vectors"), server.uri("clusters"))):
        quorum(place, "cluster", "--data", data, *rest, "--to", to, "--tracking.uri", f"sqlite:///{place}/c{len(to)}.db")
    assert differing(outcome(place / "clusters"), outcome(server.download("clusters", place / "down"))) == []


def test_a_sweep_ends_and_is_compared(server, ingested, place):
    recipe = (place / "inputs" / "sweep.yaml").read_text().replace("INPUTS/digits", f"'{ingested}'")
    recipe = recipe.replace(f"{place}/inputs/digits", f"'{ingested}'").replace("epochs: 3", "epochs: 2")
    (place / "sweep.yaml").write_text(recipe)
    uri = f"sqlite:///{place}/sweep.db"
    quorum(place, "sweep", "--config", "sweep.yaml", "--storage", server.uri("sweeps"), "--tracking.uri", uri)
    said = quorum(place, "compare", str(Location.of(server.uri("sweeps")) / "sweep"))
    assert "0.03" in said
    assert "0.05" in said
    runs = MlflowClient(uri).search_runs([experiment.experiment_id for experiment in MlflowClient(uri).search_experiments()])
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_keys_that_expire_on_the_way_end_a_run_in_a_sentence(server, ingested, place):
    words = ["pretrain", *given("pretrain", ingested), "--storage", server.uri("runs"), "--name", "expired"]
    process = start(place, *words, "--tracking.uri", f"sqlite:///{place}/expired.db")
    store = CheckpointStore(Location.of(server.uri("runs")) / "expired" / "checkpoints")
    while store.latest() is None:
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.2)
    faults, server.faults = server.faults, Faults(expired=True)
    try:
        said = process.communicate(timeout=300)[0]
    finally:
        server.faults = faults
    assert process.returncode == 2, said
    assert "renew them, and go on" in said
    assert "Traceback" not in said
    assert store.latest() is not None


def test_an_address_of_no_bucket_is_a_sentence(server, place):
    said = quorum(place, "ingest", "digits", "--to", server.uri("x").replace(BUCKET, "no-such-bucket"), code=2)
    assert "look at the address" in said
