"""Processes of a Ray that this process has started: none outlives it, nor a start that is interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.helpers.machines.own_python import answer_of


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
from pipelines.jobs.ray_quirks.own_processes import none_left_unless_started
of_ray = ["sh", "-c", "sleep 60 & echo $!; wait", f"{Path(ray.__file__).parent}/raylet"]
before = subprocess.Popen(of_ray[:3], stdout=subprocess.PIPE)
try:
    with none_left_unless_started():
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
from pipelines.jobs.ray_cluster import connect
from pipelines.jobs.ray_quirks.own_processes import children_of
from pipelines.jobs.stops import stops_at_once
inner = worker.connect
def connect_and_wish(*given, **named):
    inner(*given, **named)
    print([one["pid"] for child in children_of(os.getpid()) for one in (child, *children_of(child["pid"]))], flush=True)
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


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a process does not tell what it was started with")
def test_a_process_of_a_local_ray_that_hangs_as_it_ends_is_ended():
    code = """
import atexit, os, ray, sys, time
from pipelines.jobs.ray_cluster import connect
from pipelines.jobs.ray_quirks import own_processes
own_processes.LAST_SECONDS = 0.5
connect("local", local_cpus=1)
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
    own_processes.end_with_all_processes(own_processes.raylet_here(), os.getppid())  # which is not for a copy to do
    os._exit(0)
os.wait()
time.sleep(2)
assert ray.get(ray.remote(lambda: 7).remote()) == 7
if sys.argv[1:]:
    atexit.unregister(own_processes.end_with_all_processes)
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
