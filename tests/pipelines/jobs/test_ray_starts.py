"""A Ray that does not start, or a cluster that does not take this process, is one sentence with what to do."""

from __future__ import annotations

import errno
import inspect
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing

import pytest
import ray
import ray._private.node
import ray._private.services
import ray._private.utils

from pipelines.errors import UserError
from pipelines.jobs.ray_starts import listens, no_cluster, no_start, starts_in_words
from tests.helpers.machines.needs import needs_mounts
from tests.helpers.places import ROOT

NOTED = "from pipelines.jobs.ray_cluster import connect; connect()"
CONNECT = "import sys; from pipelines.jobs.ray_cluster import connect; connect(sys.argv[1])"


def refusal(address: str, code: str = CONNECT, **environment: str) -> str:
    """What is said in a process of its own: this one may have a Ray already."""
    command = [sys.executable, "-c", code, address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=os.environ | environment)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1].partition("UserError: ")[2]


@pytest.mark.parametrize("address", ["cluster", "http://host:1", "127.0.0.1:99999"])
def test_what_is_no_address_is_said_to_be_none(address):
    assert refusal(address) == f"{address!r} is no address of a Ray cluster; give HOST:PORT, auto or local"


def test_an_address_of_ray_client_is_refused_with_the_way_to_send_a_command():
    for said in (refusal("ray://127.0.0.1:1"), refusal("", NOTED, RAY_ADDRESS="ray://127.0.0.1:1")):
        assert said.startswith(
            "'ray://127.0.0.1:1' is of Ray Client, by which no training can be driven; send the command to a node"
        )


def test_a_folder_that_ray_cannot_use_is_the_advice(tmp_path):
    (tmp_path / "file").write_text("")
    assert refusal("local", RAY_TMPDIR=str(tmp_path / "file")).endswith(
        "it cannot write its temporary files; set RAY_TMPDIR to a folder of your own"
    )
    long = tmp_path / ("x" * 120)
    assert "too long for a socket; set RAY_TMPDIR to a short path" in refusal("local", RAY_TMPDIR=str(long))


@pytest.mark.slow
def test_ray_starts_for_a_user_without_a_home():
    code = "from pipelines.jobs.ray_cluster import connect; connect(); import ray; print(ray.get(ray.remote(lambda: 7).remote()))"
    settings = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    settings |= {"HOME": "/proc/nobody", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=settings, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout) == (0, "7\n"), done.stderr


@needs_mounts
def test_a_disk_without_room_for_rays_files_is_said_to_be_full(tmp_path):
    code = "from pipelines.jobs.ray_starts import no_start; print(no_start(RuntimeError('Timed out waiting for file /x')))"
    script = f'mount -t tmpfs -o size=100k tmpfs {tmp_path} && exec {sys.executable} -c "$0"'
    paths = os.environ | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(tmp_path)}
    done = subprocess.run(["unshare", "-m", "sh", "-ec", script, code], env=paths, capture_output=True, text=True, check=True)
    assert "its temporary files have no room on the disk; free some room, or set RAY_TMPDIR" in done.stdout


def test_a_limit_of_what_may_be_mapped_is_what_kept_ray_from_starting():
    code = """from pipelines.jobs.ray_starts import no_start
for said in ("Timed out waiting for file /x", "AF_UNIX path length cannot exceed 107 bytes"):
    print(no_start(RuntimeError(said)))"""
    command = ["sh", "-c", f'ulimit -v 6000000; exec {sys.executable} -c "$0"', code]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True)
    late, long = done.stdout.splitlines()
    assert "raise the limits (ulimit -n, ulimit -u, ulimit -v)" in late
    assert "the path of its temporary files is too long for a socket" in long  # a cause that Ray names stays the cause


@pytest.mark.ray
def test_a_cluster_of_another_version_is_told_with_both(local_ray):
    code = f"import ray; ray.__version__ = '1.2.3'; {CONNECT}"
    joined = ray.get_runtime_context().gcs_address
    assert refusal(joined, code).startswith(f"the Ray cluster at {joined!r} runs Ray {ray.__version__} and Python 3.")
    assert ", this process Ray 1.2.3 and Python 3." in refusal(joined, code)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    """The address of a cluster that asks for a token, which no process of these tests has."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # a socket's path is at most 107 characters long
    options = ["--head", f"--port={port}", "--num-cpus=1", "--include-dashboard=false", f"--temp-dir={folder}", "--block"]
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", *options]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as head:
        try:
            while not listens(f"127.0.0.1:{port}"):
                assert head.poll() is None
                time.sleep(0.2)
            yield f"127.0.0.1:{port}"
        finally:
            head.terminate()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_cluster_that_asks_for_a_token_is_not_taken_for_an_absent_one(guarded, tmp_path):
    advice = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's"
    none = refusal(guarded, HOME=str(tmp_path), RAY_AUTH_MODE="token")
    assert none == f"the Ray cluster at {guarded!r} is asked with a token (RAY_AUTH_MODE), and there is none; {advice}"
    for mode, token in (("token", "0" * 64), ("disabled", "")):
        other = refusal(guarded, HOME=str(tmp_path), RAY_AUTH_MODE=mode, RAY_AUTH_TOKEN=token)
        assert other == (
            f"the Ray cluster at {guarded!r} answers, but does not take this process, as with another token or none; {advice}"
        )


def test_what_listens_is_told_from_what_does_not():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert listens(address)
    assert not listens(address)
    assert not listens("auto")


def rays(words: str) -> Exception:
    """What Ray raises: of no kind of its own."""
    return Exception(words)


@pytest.mark.parametrize(
    ("words", "of", "said"),
    [
        (
            "The current node timed out during startup. This ",
            ray._private.node,
            "it took longer to start than it waits; end",
        ),
        (
            "/dev/shm size ({} GB). This will harm performance. ",
            ray._private.services,
            "/dev/shm is too small for",
        ),
        ("than the total available memory.", ray._private.services, "too little memory for its object store"),
        ("AF_UNIX path length cannot exceed ", ray._private.utils, "too long for a socket"),
    ],
)
def test_what_ray_says_of_the_machine_is_advice(words, of, said):
    assert words in inspect.getsource(of)  # this version of Ray still says so
    full = {"/dev": f"exceeds {words}", "than": f"greater {words}"}.get(words[:4], words)
    with pytest.raises(UserError, match=f"Ray did not start on this machine: .*{said}"), starts_in_words(None):
        raise rays(full)


def test_a_full_disk_and_what_is_not_known_are_told():
    assert "have no room on the disk; free some room" in str(no_start(OSError(errno.ENOSPC, "No space")))
    assert str(no_start(RuntimeError("odd\nlines"))) == (
        "Ray did not start on this machine (RuntimeError: odd); its logs in /tmp/ray/session_latest/logs may tell why"
    )
    assert "has no node on this machine; run ray start --address=h:1 here" in str(
        no_cluster(Exception("The current node timed out during startup."), "h:1")
    )
