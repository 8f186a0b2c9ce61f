"""What the workers of a Ray Train job are told."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import ray
from ray.util.placement_group import placement_group

from pipelines.jobs.ray_cluster import connect, this_node
from pipelines.jobs.train_job import fit
from pipelines.jobs.worker import Worker, Workers

pytestmark = [pytest.mark.ray, pytest.mark.slow]


class Unstopped:
    """The record of a run that nobody stops."""

    def wished(self) -> bool:
        return False

    def stop(self, reason: str) -> None:
        raise AssertionError(reason)

    def stop_reason(self) -> str | None:
        return None


@dataclass(frozen=True)
class Job:
    run: str
    record: Unstopped = field(default_factory=Unstopped)


def note_node(job: Job, worker: Worker) -> None:
    Path(job.run, f"node-{worker.rank}").write_text(worker.node)


@ray.remote(num_cpus=0)
class TrainController:
    """Reserves CPUs for workers, as Ray Train's does."""

    def reserve(self, cpus: float) -> None:
        ray.get(placement_group([{"CPU": cpus}]).ready())


def test_what_an_ended_job_reserved_is_free_for_the_next_one(local_ray, tmp_path):
    killed = TrainController.remote()
    ray.get(killed.reserve.remote(ray.available_resources()["CPU"]))
    ray.kill(killed)
    while not ray.available_resources().get("CPU"):  # Ray takes a moment to know that it is dead
        time.sleep(0.1)
        connect()
    fit(note_node, Job(str(tmp_path)), Workers(1, max_failures=0))
    assert (tmp_path / "node-0").exists()


def test_workers_learn_which_of_them_share_a_node(local_ray, tmp_path):
    fit(note_node, Job(str(tmp_path)), Workers(2, max_failures=0))
    assert [(tmp_path / f"node-{rank}").read_text() for rank in range(2)] == [this_node()] * 2
    assert len(ray.nodes()) == 1
