"""How many reading tasks a node has."""

from __future__ import annotations

import pytest
import ray

from pipelines.stream.cpus import share_of_a_cpu


@pytest.mark.parametrize(
    ("cpus", "reserved", "tasks"), [(1, 0, 1), (2, 0, 3), (2, 1, 1), (4, 1, 4), (16, 1, 16), (16, 0, 17), (64, 8, 56)]
)
def test_a_node_has_a_task_more_than_cpus_for_them(monkeypatch, cpus, reserved, tasks):
    small = {"Resources": {"CPU": 1.0}, "Alive": True}
    gone = {"Resources": {"CPU": 999.0}, "Alive": False}
    monkeypatch.setattr(ray, "nodes", lambda: [small, {"Resources": {"CPU": float(cpus)}, "Alive": True}, gone])
    assert int((cpus - reserved) / share_of_a_cpu()) == tasks
