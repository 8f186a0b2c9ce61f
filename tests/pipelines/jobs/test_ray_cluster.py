"""Joining a Ray cluster, or starting a local one."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
import ray

from pipelines.errors import UserError
from pipelines.jobs.ray_cluster import call_on, check_resources, connect, this_node
from tests.helpers.machines.own_python import answer_of


def test_an_address_where_no_cluster_answers_is_said_at_once():
    code = "import sys; from pipelines.jobs.ray_cluster import connect; connect(sys.argv[1])"  # here a local Ray may run already
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, timeout=60, check=False)
    assert f"UserError: no Ray cluster answers at {address!r}; start one" in done.stderr


def _left(processes: list[int]) -> list[str]:
    """Names of those that are there after some seconds."""
    until = time.monotonic() + 5
    while left := [one.name() for one in psutil.process_iter() if one.pid in processes and one.status() != psutil.STATUS_ZOMBIE]:
        if time.monotonic() > until:
            return left
        time.sleep(0.05)
    return []


def test_a_start_that_is_interrupted_leaves_none_of_what_it_has_started_nor_what_that_has():
    code = """
import subprocess, ray
from pathlib import Path
from pipelines.errors import Stopped
from pipelines.jobs.ray_cluster import _none_left_unless_started
of_ray = ["sh", "-c", "sleep 60 & echo $!; wait", f"{Path(ray.__file__).parent}/raylet"]
before = subprocess.Popen(of_ray[:3], stdout=subprocess.PIPE)
try:
    with _none_left_unless_started():
        beside = subprocess.Popen(["sleep", "60"])
        begun = subprocess.Popen(of_ray, stdout=subprocess.PIPE, text=True)
        inner = int(begun.stdout.readline())
        raise Stopped(15)
except Stopped:
    answer = [before.poll(), beside.poll(), begun.wait(5), inner]
subprocess.run(["kill", before.stdout.readline().decode().strip()])
beside.kill()
"""
    before, beside, begun, inner = answer_of(code)
    assert (before, beside, begun) == (None, None, -signal.SIGKILL)
    assert _left([inner]) == []


@pytest.mark.slow
def test_a_wish_that_comes_while_ray_is_joined_ends_the_command_with_its_own_code_and_leaves_no_process():
    code = """
import os, signal, sys
from ray._private import worker
from pipelines.jobs.ray_cluster import _children_of, connect
from pipelines.jobs.stops import stops_at_once
inner = worker.connect
def connect_and_wish(*given, **named):
    inner(*given, **named)
    print([one["pid"] for child in _children_of(os.getpid()) for one in (child, *_children_of(child["pid"]))], flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
worker.connect = connect_and_wish
try:
    with stops_at_once():
        connect("local")
except KeyboardInterrupt as stop:
    sys.exit(128 + stop.number)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (143, "")
    assert len(json.loads(done.stdout)) >= 2
    assert _left(json.loads(done.stdout)) == []


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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process does not tell what it was started with")
def test_a_process_of_a_local_ray_that_hangs_as_it_ends_is_ended():
    code = """
import atexit, os, ray, sys, time
from pipelines.jobs import ray_cluster
ray_cluster.LAST_SECONDS = 0.5
ray_cluster.connect("local", local_cpus=1)
class Hanging:
    def process(self):
        return os.getpid()
    def leave(self):
        atexit.register(time.sleep, 600)
        ray.actor.exit_actor()
actor = ray.remote(Hanging).remote()
answer = ray.get(actor.process.remote())
actor.leave.remote()
if os.fork() == 0:
    ray_cluster._end_with_all_processes(ray_cluster._raylet_here(), os.getppid())  # which is not for a copy to do
    os._exit(0)
os.wait()
time.sleep(2)
assert ray.get(ray.remote(lambda: 7).remote()) == 7
if sys.argv[1:]:
    atexit.unregister(ray_cluster._end_with_all_processes)
"""

    def left_by(*words: str) -> bool:
        process = answer_of(code, *words)
        try:
            worker = psutil.Process(process)
            is_there = worker.status() != psutil.STATUS_ZOMBIE
            worker.kill()
        except psutil.NoSuchProcess:
            return False
        return is_there

    assert left_by("nobody looks")
    assert not left_by()
