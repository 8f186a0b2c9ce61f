"""What is said of a node's shared memory, memory, disks and limits."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile

import pytest

from pipelines.doctor.findings import Page, State
from pipelines.doctor.on_node import machine
from pipelines.doctor.on_node.machine import SHM, look_at_disk, look_at_disks, look_at_limits, look_at_memory, look_at_name
from tests.helpers.machines.needs import needs_mounts
from tests.helpers.places import ROOT

CODE = """
import pathlib, resource
from pipelines.doctor.on_node.machine import look_at_limits, look_at_disks, look_at_memory, look_at_name, look_where_no_ray_starts
for found in {call}:
    if found.state in ("fault", "note"):
        print(found.state, found.sentence)
"""


def faults_of(call: str, *, within: str = "", state: str = "fault", **environment: str) -> list[str]:
    """What a process of its own finds, in a shell that has done `within` before."""
    command = f"{within} {sys.executable} -c '{CODE.format(call=call)}'"
    paths = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(["sh", "-c", command], env=paths, capture_output=True, text=True, check=True)
    said = [line.split(" ", 1) for line in done.stdout.splitlines()]
    return [sentence for found, sentence in said if found == state]


@pytest.mark.parametrize(
    ("limit", "state", "said"),
    [
        ("ulimit -n 512", "fault", "a process may open 512 files (ulimit -n); start the node after ulimit -n 65536"),
        ("ulimit -f 2000", "fault", "no file may have more than 1.02 MB (ulimit -f); start the node after ulimit -f unlimited"),
        ("ulimit -t 900", "fault", "a process is ended when it has computed for 900 s (ulimit -t); start the node"),
        ("ulimit -v 64000000", "note", "no process may map more than 65.5 GB (ulimit -v); start the node after ulimit -v"),
    ],
)
def test_a_limit_that_jobs_meet_is_named(limit, state, said):
    (found,) = faults_of("look_at_limits(1)", within=f"{limit};", state=state)
    assert found.startswith(said)


def test_a_disk_that_does_not_say_how_large_it_is_is_not_full():
    found = look_at_disk("disk of storage", "/proc/runs", "free some room")
    assert (found.state, found.said) == (State.FINE, "it does not say how large it is")


def test_more_cpus_than_the_machine_has_are_a_note():
    (found,) = [one for one in look_at_limits(1000.0) if one.check == "CPUs"]
    assert (found.state, found.page) == (State.NOTE, Page.ROOM)
    assert all(one.state is not State.FAULT for one in look_at_limits(1.0))


def mounted(place: object, size: str) -> str:
    """What makes a command see a disk of that size in a place, which nobody else sees."""
    return f"""unshare -m sh -c 'mount -t tmpfs -o size={size} tmpfs {place} && exec "$0" "$@"' """


@needs_mounts
def test_where_no_ray_starts_the_disk_of_its_files_and_the_limits_are_named(tmp_path):
    within = f"ulimit -n 256; {mounted(tmp_path, '1m')}"
    said = faults_of("look_where_no_ray_starts()", within=within, RAY_TMPDIR=str(tmp_path), TMPDIR=str(tmp_path))
    assert [one.partition(":")[0] for one in said[:2]] == ["the disk is full", "the disk is full"]
    assert f"are free in {tmp_path}/ray" in said[0]
    assert said[2].startswith("a process may open 256 files")


@needs_mounts
def test_too_small_shared_memory_is_named():
    (found,) = [one for one in faults_of("look_at_memory(2.0, 4e9)", within=mounted(SHM, "64m")) if SHM in one]
    assert found.startswith(f"{SHM} has 67.1 MB, the object store may take 4 GB; make {SHM} larger (docker run --shm-size=8g")


@needs_mounts
@pytest.mark.parametrize(("taken", "left", "state"), [(340, 62.9, "fault"), (100, 315, "note")])
def test_shared_memory_that_others_take_is_named(taken, left, state):
    call = f"""[pathlib.Path("{SHM}/others").write_bytes(bytes({taken} << 20))] and look_at_memory(2.0, 350e6)"""
    (said,) = [one for one in faults_of(call, within=mounted(SHM, "400m"), state=state) if SHM in one]
    assert said.startswith(f"of {SHM} (419 MB) {left} MB are left for an object store that may take 350 MB")
    assert "delete what else lies there, or" in said


def test_what_the_object_store_itself_holds_counts_as_room_for_it():
    with tempfile.TemporaryFile(dir=SHM) as file:
        before = machine._held(os.getpid())
        file.write(bytes(1 << 20))
        file.flush()
        assert machine._held(os.getpid()) - before == 1 << 20
    assert machine._held(2**22 - 1) == 0


@needs_mounts
def test_a_full_disk_is_named(tmp_path):
    (found,) = faults_of(f"""look_at_disks("{tmp_path}")""", within=mounted(tmp_path, "1m"))
    assert found.startswith(f"the disk is full: 1.05 MB of 1.05 MB are free in {tmp_path}; free some room, or give another")


@pytest.mark.parametrize(
    ("cpus", "store", "state"), [(1, 100e6, "fault"), (8, 150e6, "fault"), (4, 200e6, "note"), (4, 1e9, "ok"), (1, 200e6, "ok")]
)
def test_a_small_object_store_is_a_fault_or_a_note(cpus, store, state):
    assert look_at_memory(cpus, store)[0].state == state


def test_there_is_room_here(tmp_path):
    assert {one.check for one in look_at_disks(str(tmp_path / "not-yet"))} == {
        "disk of Ray",
        "temporary files",
        "disk of storage",
    }


def test_a_proxy_without_exceptions_is_a_note(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    assert [one.state for one in look_at_name(["10.0.0.1"])] == [State.FINE]
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    assert [one.page for one in look_at_name(["10.0.0.1"])] == [Page.PROXY]
    monkeypatch.setenv("NO_PROXY", "localhost")
    assert [one.state for one in look_at_name(["10.0.0.1"])] == [State.FINE]


def test_a_proxy_that_catches_requests_to_some_nodes_is_a_note_that_names_them(monkeypatch):
    hosts = ["10.0.0.1", "10.0.0.2", "node-c.lab", "192.168.0.7", "fd00::7"]
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "localhost,10.0.0.0/8")
    (found,) = look_at_name(hosts)
    assert (found.state, found.page) == (State.NOTE, Page.PROXY)
    assert found.said.endswith("requests to node-c.lab, 192.168.0.7, fd00::7 go to a proxy: no_proxy lacks them")
    monkeypatch.setenv("no_proxy", "10.0.0.0/8,.lab,192.168.0.7,fd00::7")
    assert [one.state for one in look_at_name(hosts)] == [State.FINE]


def test_limits_of_this_process_are_as_they_were():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
