"""Jobs over several nodes, with data and runs in a bucket and figures on a server of MLflow: the bits that one node gives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.jobs import JOBS, SWEEP, differing, outcome, runs_of, write_inputs
from benchmarks.chaos.servers import Server
from pipelines.files.location import Location
from pipelines.runs.checkpoints import CheckpointStore
from tests.helpers.machines.nodes import finish, nodes, quorum, roles_on, wait_until
from tests.helpers.machines.s3 import BUCKET, S3Server, serving_with_keys

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1800)]

CPUS = 2  # of a worker, so that nodes with one CPU are for Ray Data's tasks alone
LONG = 800.0  # seconds of a job on two cores that do other things too
SEVERAL = (1, 2 * CPUS, CPUS, CPUS, 1)


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3Server]:
    with serving_with_keys() as server:
        yield server


@pytest.fixture(scope="module")
def uri(tmp_path_factory) -> Iterator[str]:
    """Of an MLflow server."""
    server = Server(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server.uri
    server.remove()


@pytest.fixture(scope="module")
def data(bucket, tmp_path_factory) -> str:
    """The place in the bucket where the jobs' inputs are; the sweep's recipe lies beside the tests."""
    here = tmp_path_factory.mktemp("inputs")
    write_inputs(here)
    bucket.client().upload_file(str(here / "vectors" / "all.parquet"), BUCKET, "inputs/vectors/all.parquet")
    finish(quorum("ingest", "digits", "--val", "0.1", "--to", bucket.uri("inputs/digits"), "--address", "local"))
    return bucket.uri("inputs")


@pytest.fixture(scope="module")
def trials(data, tmp_path_factory) -> str:
    """A sweep of six trials, three at a time."""
    recipe = SWEEP.replace("INPUTS/digits", repr(in_bucket("INPUTS/digits", data))).replace("concurrent: 1", "concurrent: 3")
    recipe = recipe.replace("[0.03, 0.05]", "[0.01, 0.02, 0.03, 0.04, 0.05, 0.06]").replace("epochs: 3", "epochs: 1")
    file = tmp_path_factory.mktemp("recipe") / "sweep.yaml"
    file.write_text(recipe)
    return str(file)


def in_bucket(word: str, data: str) -> str:
    """A word of a job's, whose inputs are in the bucket."""
    return str(Location.of(data) / word.removeprefix("INPUTS/")) if word.startswith("INPUTS/") else word


def placed(job: str, bucket: S3Server, to: str) -> list[str]:
    """Words that put the run of a job into a folder of the bucket, under the job's name."""
    folder = bucket.uri(to)
    return ["--to", str(Location.of(folder) / job)] if job == "cluster" else ["--storage", folder, "--name", job]


def on_one_node(bucket: S3Server, folder: Path, job: str, words: list[str]) -> dict[str, Any]:
    """What the job comes to on a node that has the CPUs of all."""
    with nodes(sum(SEVERAL)) as cluster:
        finish(quorum(job, *words, *placed(job, bucket, "one"), "--address", cluster.address), seconds=LONG)
    return outcome(bucket.download(f"one/{job}", folder))


@pytest.mark.parametrize("job", ["pretrain", "cluster"])
def test_four_workers_on_three_nodes_give_the_bits_of_four_on_one(bucket, data, uri, tmp_path, job):
    words = [in_bucket(word, data) for word in JOBS[job].given]
    words += ["--compute.workers", "4", "--compute.cpus_per_worker", str(CPUS), "--tracking.uri", uri]
    with nodes(*SEVERAL) as cluster:
        process = quorum(job, *words, *placed(job, bucket, "several"), "--address", cluster.address)
        store = CheckpointStore(Location.of(bucket.uri(f"several/{job}/checkpoints")))
        wait_until(process, lambda: store.latest() is not None)
        roles = [roles_on(node) for node in cluster.list_all_nodes()]
        finish(process, LONG)
    assert sum("RayTrainWorker" in found for found in roles) == sum(cpus >= CPUS for cpus in SEVERAL)
    several = outcome(bucket.download(f"several/{job}", tmp_path))
    assert differing(several, on_one_node(bucket, tmp_path, job, words)) == []


def test_a_sweep_over_several_nodes_gives_the_bits_of_one(bucket, trials, uri, tmp_path):
    words = ["--config", trials, "--tracking.uri", uri]
    with nodes(*SEVERAL) as cluster:
        said = finish(quorum("sweep", *words, *placed("sweep", bucket, "several"), "--address", cluster.address), seconds=LONG)
    assert "6/6 trials" in said
    several = outcome(bucket.download("several/sweep", tmp_path))
    assert {name.partition("/")[0] for name in several} == {path.name for path in runs_of(tmp_path / "several" / "sweep")}
    assert differing(several, on_one_node(bucket, tmp_path, "sweep", words)) == []
