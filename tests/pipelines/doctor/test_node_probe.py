"""What nodes answer is had by a deadline, however many of them are silent."""

from __future__ import annotations

import time

import pytest
import ray

from pipelines.doctor.node_probe import answers

pytestmark = pytest.mark.ray
SILENT = 40


class Node:
    """Answers, fails, or is silent."""

    def answer(self):
        return 7

    def fail(self):
        raise ValueError("no disk")

    def hang(self):
        time.sleep(600)


def test_silent_nodes_cost_no_time_after_the_deadline(local_ray):
    node = ray.remote(num_cpus=0)(Node).remote()
    told = [node.answer.remote(), node.fail.remote()]
    ray.wait(told, num_returns=2)
    asked = [told[0], *(node.hang.remote() for _ in range(SILENT)), told[1]]
    began = time.monotonic()
    first, *silent, last = answers(asked, began)
    assert time.monotonic() - began < 3
    ray.kill(node)
    assert (first, str(last), type(last)) == (7, "no disk", ValueError)
    assert [type(one) for one in silent] == [TimeoutError] * SILENT
    assert answers([], time.monotonic()) == []
