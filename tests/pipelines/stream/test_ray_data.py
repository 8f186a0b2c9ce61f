"""Parts of a work in Ray Data tasks, where each takes a GPU too."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ray

from pipelines.stream.ray_data import share_of_a_cpu
from tests.helpers.places import ROOT

pytestmark = pytest.mark.ray

PARTS = """
import os
import ray
from pipelines.errors import UserError
from pipelines.jobs.ray_quirks.starts import few_processes
from pipelines.stream import ray_data
from pipelines.stream.ray_data import over_parts

ray_data.SHARING_A_GPU = 2
with few_processes():  # no task looks for the GPUs themselves
    ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="error")

def task(batch):
    if refused in batch["id"]:
        raise UserError(f"part {refused} cannot be read")
    share = ray.get_runtime_context().get_assigned_resources()["GPU"]
    yield {"id": batch["id"], "rows": [len(batch["id"])], "process": [os.getpid()], "share": [share]}

refused = None
found = list(over_parts(9, task, gpu=True))
print([(int(part["id"][0]), int(part["rows"][0])) for part in found])
print(len({int(part["process"][0]) for part in found}))
for parts in (found, over_parts(2, task, gpu=True)):
    print({float(part["share"][0]) for part in parts})
refused = 1
try:
    list(over_parts(2, task, gpu=True))
except UserError as error:
    print(error)
"""


def test_parts_are_shared_by_a_few_processes_that_stay_where_they_take_a_gpu():
    done = subprocess.run([sys.executable, "-c", PARTS], cwd=ROOT, capture_output=True, text=True, check=True)
    parts, processes, share_of_many, share_of_two, refusal = done.stdout.splitlines()[-5:]
    assert parts == str([(part, 1) for part in range(9)])
    assert int(processes) <= 4
    assert share_of_many == "{0.5}"
    assert share_of_two == "{1.0}"
    assert refusal == "part 1 cannot be read"


@pytest.mark.parametrize(
    ("cpus", "reserved", "tasks"), [(1, 0, 1), (2, 0, 3), (2, 1, 1), (4, 1, 4), (16, 1, 16), (16, 0, 17), (64, 8, 56)]
)
def test_a_node_has_a_task_more_than_cpus_for_them(monkeypatch, cpus, reserved, tasks):
    small = {"Resources": {"CPU": 1.0}, "Alive": True}
    gone = {"Resources": {"CPU": 999.0}, "Alive": False}
    monkeypatch.setattr(ray, "nodes", lambda: [small, {"Resources": {"CPU": float(cpus)}, "Alive": True}, gone])
    assert int((cpus - reserved) / share_of_a_cpu()) == tasks
