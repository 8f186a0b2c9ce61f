"""Joining a Ray cluster, or starting a local one."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys

import pytest
import ray

from pipelines.errors import UserError
from pipelines.jobs.ray_cluster import call_on, check_resources, connect, this_node


def test_an_address_where_no_cluster_answers_is_said_at_once():
    code = "import sys; from pipelines.jobs.ray_cluster import connect; connect(sys.argv[1])"  # here a local Ray may run already
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, timeout=60, check=False)
    assert f"UserError: no Ray cluster answers at {address!r}; start one" in done.stderr


@pytest.mark.ray
def test_a_ray_that_runs_is_used_and_another_is_not_taken_for_it(local_ray):
    joined = ray.get_runtime_context().gcs_address
    assert all(connect(address) for address in (None, "local", "auto", joined))
    with pytest.raises(UserError, match=rf"uses the Ray at {joined}; use '192\.0\.2\.77:6379' from another process"):
        connect("192.0.2.77:6379")


@pytest.mark.ray
def test_what_is_loaded_after_the_first_job_is_quiet_in_the_next_one(local_ray):
    logging.getLogger("ray.data").setLevel(logging.DEBUG)  # as its import has it
    connect()
    assert logging.getLogger("ray.data").level == logging.ERROR


@pytest.mark.ray
def test_a_function_is_called_here_or_on_another_node_and_raises_what_it_raises(local_ray):
    assert call_on(this_node(), os.getpid) == os.getpid()

    def refuse() -> None:
        raise UserError("no")

    class Elsewhere(str):
        """The id of this node, which is taken for another's."""

        __slots__ = ()
        __hash__ = None

        def __eq__(self, other: object) -> bool:
            return False

    assert call_on(Elsewhere(this_node()), os.getpid) != os.getpid()
    with pytest.raises(UserError, match=r"^no$"):
        call_on(Elsewhere(this_node()), refuse)


def test_what_the_cluster_cannot_hold_is_refused_unless_it_grows(monkeypatch, capsys):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 4.0, "GPU": 1.0})
    check_resources(3, 1, gpus=0)
    with pytest.raises(UserError, match=r"a Data task need 5 CPUs, the cluster has 4; lower compute\.workers"):
        check_resources(4, 1, gpus=0)
    with pytest.raises(UserError, match=r"compute\.gpu asks for 2 GPUs, the cluster has 1; lower compute\.workers"):
        check_resources(2, 1, gpus=1.0)
    check_resources(4, 1, gpus=1.0, grows=True)
    assert "waiting for 4 GPUs; the cluster has 1 now" in capsys.readouterr().err
