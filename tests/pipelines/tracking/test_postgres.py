"""Sixteen runs that log at once to a real MLflow server over PostgreSQL, both of which are killed on the way."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from benchmarks.chaos.servers import Database, Server, postgres_binaries
from pipelines.tracking import mlflow_tracker
from pipelines.tracking.mlflow_store import RunAddress, start_run
from pipelines.tracking.mlflow_tracker import Tracker

RUNS, STEPS = 16, 300

pytestmark = [pytest.mark.slow, pytest.mark.skipif(postgres_binaries() is None, reason="needs PostgreSQL")]


@pytest.fixture
def servers(tmp_path):
    database = Database()
    database.start()
    server = Server(tmp_path, database.uri)
    server.start()
    yield server, database
    server.kill()
    database.remove()


def log(folder: Path, uri: str, number: int) -> tuple[RunAddress, list[str]]:
    """One run from its start to its end, some seconds long."""
    address = start_run(uri, "sixteen", f"run-{number}", params={"number": number}, tags={})
    tracker = Tracker(folder / f"run-{number}", address)
    (folder / f"run-{number}" / "picture.png").write_bytes(b"a picture")
    for step in range(STEPS):
        tracker.metrics({"train/loss": step / 7, "val/knn_top1": number}, step)
        time.sleep(0.05)
    tracker.artifact(folder / f"run-{number}" / "picture.png", "pictures")
    tracker.status("FINISHED")
    tracker.close(timeout=120)
    return address, tracker.messages


def test_no_entry_is_lost_and_none_is_there_twice(servers, tmp_path, monkeypatch):
    monkeypatch.setattr(mlflow_tracker, "RETRY_SECONDS", 1.0)
    server, database = servers
    with ThreadPoolExecutor(RUNS) as pool:
        runs = [pool.submit(log, tmp_path, server.uri, number) for number in range(RUNS)]
        while not all((tmp_path / f"run-{number}" / "journal.sent").exists() for number in range(RUNS)):
            time.sleep(0.2)
        for victim in (server, database):
            victim.kill()
            time.sleep(3)
            victim.start()
            time.sleep(3)
    client = MlflowClient(server.uri)
    for number, run in enumerate(runs):
        address, messages = run.result()
        assert not any("did not reach MLflow" in message or "refused" in message for message in messages)
        assert client.get_run(address.run_id).info.status == "FINISHED"
        history = client.get_metric_history(address.run_id, "train/loss")
        assert sorted(point.step for point in history) == list(range(STEPS))
        assert {point.value for point in client.get_metric_history(address.run_id, "val/knn_top1")} == {number}
        assert [file.path for file in client.list_artifacts(address.run_id, "pictures")] == ["pictures/picture.png"]
