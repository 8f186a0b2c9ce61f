"""Ray as it starts or is joined: each work-around works, and is still needed - a test that fails says which one can go."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest
import ray
import ray.data
from ray.util.state import get_actor

from pipelines.jobs.ray_quirks.starts import DASHBOARD, NOWHERE, few_processes, knock, no_dashboard
from tests.helpers.machines.own_python import said_by


@pytest.fixture
def dead_port():
    with socket.socket() as taken:  # bound, but nothing listens
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@ray.remote(num_cpus=0, max_retries=0)
def ask_for_an_actor(folder: str, dashboard: str | None) -> None:
    """Ask whether an actor lives, as Ray Train does, where a Ray that is gone has left its address."""
    os.environ.pop(DASHBOARD, None)
    os.environ.pop("RAY_ADDRESS", None)
    os.environ |= {"RAY_TMPDIR": folder} | ({DASHBOARD: dashboard} if dashboard else {})
    with contextlib.suppress(Exception):
        get_actor("0" * 32, timeout=30)


@pytest.mark.ray
@pytest.mark.slow
def test_ray_searches_long_for_a_dashboard_that_is_not_there(local_ray, dead_port, tmp_path):
    for folder in (tmp_path, tmp_path / "ray"):
        folder.mkdir(exist_ok=True)
        (folder / "ray_current_cluster").write_text(f"127.0.0.1:{dead_port}")
    searching = ask_for_an_actor.remote(str(tmp_path), None)
    told = ask_for_an_actor.remote(str(tmp_path), NOWHERE)
    assert ray.wait([searching, told], num_returns=2, timeout=10) == ([told], [searching])
    ray.cancel(searching, force=True)


@pytest.mark.ray
def test_the_processes_of_a_local_ray_look_for_no_dashboard(local_ray):
    assert ray.get(ray.remote(lambda: os.environ.get(DASHBOARD)).remote()) == os.environ.get(DASHBOARD, NOWHERE)


@pytest.mark.parametrize("given", [None, "http://head:8265"])
def test_a_dashboard_that_was_named_is_kept(monkeypatch, given):
    monkeypatch.delenv(DASHBOARD, raising=False)
    if given:
        monkeypatch.setenv(DASHBOARD, given)
    with no_dashboard():
        assert os.environ[DASHBOARD] == (given or NOWHERE)
    assert os.environ.get(DASHBOARD) == given


@pytest.mark.slow
def test_ray_writes_lines_among_those_of_a_command_unless_it_is_kept_from_it():
    code = """
import contextlib, logging, os, psutil, ray, sys, time
from pipelines.jobs.ray_quirks.starts import few_processes, few_words
with few_processes(), few_words(alone=True) if sys.argv[1:] else contextlib.nullcontext():
    ray.init(address="local", include_dashboard=False, num_cpus=1, log_to_driver=False, logging_level=logging.ERROR)
class Actor:
    def __init__(self, given): pass
    def ready(self): return "an actor is ready"
print(ray.get(ray.remote(max_restarts=-1)(Actor).remote(ray.put(1)).ready.remote()), flush=True)
next(each for each in psutil.Process().children() if each.name() == "raylet").kill()
with contextlib.suppress(Exception):
    ray.get(ray.remote(lambda: 7).remote(), timeout=8)
time.sleep(3)
os.write(2, b"the terminal is there")
os._exit(0)
"""
    everything = said_by(code)
    assert "has constructor arguments in the object store" in everything
    assert "Raylet is terminated" in everything
    assert said_by(code, "few").split("\n") == ["an actor is ready", "the terminal is there"]


def test_a_level_of_logging_that_was_given_is_kept(monkeypatch):
    monkeypatch.setenv("RAY_BACKEND_LOG_LEVEL", "debug")
    code = """
import os
from ray._private import worker
from pipelines.jobs.ray_quirks.starts import few_words
worker.connect = lambda: os.system("echo $RAY_BACKEND_LOG_LEVEL >&2")
with few_words(alone=True):
    worker.connect()
"""
    assert said_by(code) == "debug\n"


@pytest.mark.slow
def test_ray_starts_processes_that_one_machine_has_no_use_for_unless_they_are_left_out():
    code = """
import contextlib, psutil, ray, sys
from pipelines.jobs.ray_quirks.starts import few_processes
with few_processes() if sys.argv[1:] else contextlib.nullcontext():
    ray.init(address="local", include_dashboard=False, num_cpus=1)
words = [" ".join(each.cmdline()) for each in psutil.Process().children(recursive=True)]
print({name: any(name in each for each in words) for name in ("dashboard.py", "monitor.py", "log_monitor.py")})
print("task", ray.get(ray.remote(lambda: 7).remote()))
"""
    everything, few = said_by(code), said_by(code, "few")
    assert "{'dashboard.py': True, 'monitor.py': True, 'log_monitor.py': True}" in everything
    assert "{'dashboard.py': False, 'monitor.py': False, 'log_monitor.py': False}" in few
    assert "task 7" in few


def test_a_ray_that_starts_later_has_all_of_its_processes_again():
    from ray._private import node, utils

    before = node.Node.start_api_server, utils.get_dashboard_dependency_error
    with few_processes():
        assert utils.get_dashboard_dependency_error() is not None
        assert node.Node.start_api_server is not before[0]
    assert (node.Node.start_api_server, utils.get_dashboard_dependency_error) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere Ray ends its processes by their group")
@pytest.mark.parametrize("apart", [False, True])
def test_ray_gets_the_signals_of_its_drivers_group_unless_its_processes_are_apart(apart):
    code = """
import contextlib, os, psutil, ray, sys
from pipelines.jobs.ray_quirks.starts import in_groups_of_their_own
with in_groups_of_their_own() if sys.argv[1:] else contextlib.nullcontext():
    ray.init(address="local", include_dashboard=False, num_cpus=1)
print("mine", {name: any(os.getpgid(each.pid) == os.getpgrp() for each in psutil.Process().children() if each.name() == name)
               for name in ("raylet", "gcs_server")})
"""
    assert f"mine {{'raylet': {not apart}, 'gcs_server': {not apart}}}" in said_by(code, *(["apart"] if apart else []))


@pytest.mark.slow
def test_ray_tries_long_where_nothing_listens_and_a_knock_does_not(dead_port):
    code = "import ray, sys; ray.init(address=sys.argv[1])"
    process = subprocess.Popen([sys.executable, "-c", code, f"127.0.0.1:{dead_port}"], stderr=subprocess.DEVNULL)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(20)
    process.kill()
    process.wait()
    began = time.monotonic()
    with pytest.raises(OSError, match="refused"):
        knock(f"127.0.0.1:{dead_port}")
    assert time.monotonic() - began < 1


@pytest.mark.slow
@pytest.mark.parametrize("ours", [False, True])
def test_a_sigterm_while_ray_starts_ends_the_process_unless_it_stays_ours(ours):
    code = """
import contextlib, os, ray, signal, sys, threading
from pipelines.jobs.ray_quirks.starts import sigterm_stays_ours
heard, over = [], threading.Event()
hear = lambda number, frame: heard.append(number)
signal.signal(signal.SIGTERM, hear)
def send():
    while not over.wait(0.02):
        os.kill(os.getpid(), signal.SIGTERM)
print("starts", flush=True)
with sigterm_stays_ours() if sys.argv[1:] else contextlib.nullcontext():
    threading.Thread(target=send, daemon=True).start()
    ray.init(address="local", include_dashboard=False, num_cpus=1)
    over.set()
print("heard", len(heard) > 5, "still ours", signal.getsignal(signal.SIGTERM) is hear)
"""
    said = said_by(code, *(["ours"] if ours else []))
    assert "starts" in said
    assert ("heard True still ours True" in said and "SIGTERM received" not in said) == ours
