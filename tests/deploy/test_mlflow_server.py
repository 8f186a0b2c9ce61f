"""The server of deploy/kuberay/mlflow.yaml, started with its own arguments over a real PostgreSQL that asks for a password."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing

import psycopg2
import pytest

from benchmarks.chaos.servers import Database, free_port, postgres_binaries
from tests.helpers.machines.manifests import KUBERAY, documents

pytestmark = [pytest.mark.slow, pytest.mark.skipif(postgres_binaries() is None, reason="needs PostgreSQL")]
PASSWORD = "of-a-test"
ACCESS = "host all mlflow 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 trust\n"
DEPLOYMENT = next(one for one in documents(KUBERAY / "mlflow.yaml") if one["kind"] == "Deployment")
CONTAINER = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]


@pytest.fixture
def database():
    """A database as the manifest's has it: the user and the database `mlflow`, and a password for whoever comes by TCP."""
    made = Database()
    (made.folder / "data" / "pg_hba.conf").write_text(ACCESS)
    made.start()
    with closing(psycopg2.connect(made.uri.replace("postgresql+psycopg2", "postgresql"))) as connection:
        connection.autocommit = True
        for command in (f"create user mlflow password '{PASSWORD}'", "create database mlflow owner mlflow"):
            connection.cursor().execute(command)
    yield made
    made.remove()


def arguments(database: Database, port: int, folder: str) -> list[str]:
    """The manifest's, with this machine's places for the pods' and the bucket's."""
    words = CONTAINER["args"]
    changes = {"@mlflow-database/": f"@127.0.0.1:{database.port}/", "=5000": f"={port}", "s3://BUCKET/mlflow": folder}
    for old, new in changes.items():
        assert sum(old in word for word in words) == 1
        words = [word.replace(old, new) for word in words]
    return list(words)


def status(port: int, path: str, host: str) -> int:
    """What the server answers to who calls it by a name."""
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Host": host})
        return int(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_the_server_reads_the_password_and_answers_to_its_service_and_its_probe(database, tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", *arguments(database, port, str(tmp_path))]
    with (tmp_path / "log").open("w") as log:
        environment = os.environ | {one["name"]: one.get("value", PASSWORD) for one in CONTAINER["env"]}
        server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=tmp_path, start_new_session=True)
    try:
        deadline = time.monotonic() + 240
        while True:
            try:
                assert status(port, "/health", "10.1.2.3:5000") == 200  # kubelet's probe goes to the pod's address
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < deadline, (tmp_path / "log").read_text()
                time.sleep(0.5)
        experiments = "/api/2.0/mlflow/experiments/search?max_results=1"
        assert status(port, experiments, "mlflow:5000") == 200
        assert status(port, experiments, "localhost:5000") == 200  # kubectl port-forward
        assert status(port, experiments, "elsewhere.example") == 403
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
