"""What a job waits for is said, once it has waited a minute."""

from __future__ import annotations

import pytest
import ray.util

from pipelines.jobs import waiting
from pipelines.jobs.waiting import Waiting, described
from pipelines.jobs.worker import Workers


@pytest.fixture
def clock(monkeypatch):
    """A clock to be set by hand, in seconds."""
    now = [1_000_000.0]
    monkeypatch.setattr(waiting.time, "time", lambda: now[0])
    return now


@pytest.mark.ray
def test_what_has_no_place_in_the_cluster_is_said_after_a_minute_and_every_ten(local_ray, clock):
    group = ray.util.placement_group([{"CPU": 99}])
    wait = Waiting("2 workers of 99 CPUs each")
    said = []
    try:
        for second in range(0, 1400, 10):
            clock[0] = 1_000_000.0 + second
            said += [(second, *wait.look(at_work=second == 100))]
    finally:
        ray.util.remove_placement_group(group)
    told = {second: sentence[0] for second, *sentence in said if sentence}
    assert list(told) == [60, 160, 760, 1360]
    assert "for 2 workers of 99 CPUs each: " in told[60]
    assert "CPUs and 0 of 0 GPUs are free in the cluster; start more nodes" in told[60]


@pytest.mark.ray
def test_a_slow_step_is_no_lack_of_room(local_ray, clock):
    wait = Waiting("2 workers")
    clock[0] += 3600
    assert wait.look(at_work=False) == []


def test_what_is_asked_for_is_described():
    assert described(Workers((2, 8), 3, 0.5)) == "2 workers of 3 CPUs and 0.5 GPU each"
    assert described(Workers(1)) == "1 worker of 1 CPU each"
