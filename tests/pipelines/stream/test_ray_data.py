"""Parts of a work in Ray Data tasks, where each takes a GPU too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.stream.ray_data import SHARING_A_GPU
from tests.helpers.places import ROOT

pytestmark = pytest.mark.ray

PARTS = """
import os
import ray
from pipelines.errors import UserError
from pipelines.stream.ray_data import over_parts

ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, logging_level="error")  # no task looks for the GPU itself

def task(batch):
    if refused in batch["id"]:
        raise UserError(f"part {refused} cannot be read")
    (gpu,) = ray.get_gpu_ids()
    yield {"id": batch["id"], "rows": [len(batch["id"])], "process": [os.getpid()], "gpu": [gpu]}

refused = None
found = list(over_parts(12, task, gpu=True))
print([(int(part["id"][0]), int(part["rows"][0])) for part in found])
print(sorted({int(part["gpu"][0]) for part in found}))
print(len({int(part["process"][0]) for part in found}))
refused = 3
try:
    list(over_parts(12, task, gpu=True))
except UserError as error:
    print(error)
"""


def test_parts_are_shared_by_a_few_processes_that_stay_where_they_take_a_gpu():
    done = subprocess.run([sys.executable, "-c", PARTS], cwd=ROOT, capture_output=True, text=True, check=True)
    parts, gpus, processes, refusal = done.stdout.splitlines()[-4:]
    assert parts == str([(part, 1) for part in range(12)])
    assert gpus == "[0]"
    assert int(processes) <= SHARING_A_GPU
    assert refusal == "part 3 cannot be read"
