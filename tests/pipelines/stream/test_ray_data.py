"""Parts of a work in Ray Data tasks, where each takes a GPU too."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.helpers.places import ROOT

pytestmark = pytest.mark.ray

PARTS = """
import ray
from pipelines.stream.ray_data import over_parts

ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, logging_level="error")  # no task looks for the GPU itself
found = list(over_parts(3, lambda batch: {"id": batch["id"], "rows": [len(batch["id"])]}, gpu=True))
print([(int(part["id"][0]), int(part["rows"][0])) for part in found])
"""


def test_each_part_is_a_task_of_its_own_on_a_gpu_too():
    done = subprocess.run([sys.executable, "-c", PARTS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[(0, 1), (1, 1), (2, 1)]"
