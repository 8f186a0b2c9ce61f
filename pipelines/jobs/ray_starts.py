"""What is said when Ray does not start on this machine, or a cluster does not take this process."""

from __future__ import annotations

import errno
import os
import re
import resource
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pipelines.errors import UserError

TOO_SLOW = "end what else keeps the machine busy, or give it more memory, and try again"
TOO_LATE = (
    r"timed out during startup|Failed to get the system config|Failed to connect to GCS|failed to start|Timed out|timed out",
    "it took longer to start than it waits", TOO_SLOW,
)  # fmt: skip
LIMITED = (
    r"Too many open files|Resource temporarily unavailable|can't start new thread|Cannot allocate memory",
    "the machine gives this user no more processes, files or memory",
    "raise the limits (ulimit -n, ulimit -u, ulimit -v), or end what else runs there",
)
STARTS = (  # what Ray says, what it means, what to do
    TOO_LATE,
    (r"exceeds\s+/dev/shm size|object store.*shm",
     "/dev/shm is too small for its object store",
     "make it larger (docker run --shm-size=8g), delete what lies there, or set RAY_OBJECT_STORE_ALLOW_SLOW_STORAGE=1"),
    (r"greater than the total available memory|object_store_memory|Attempting to cap object store memory",
     "the machine has too little memory for its object store", "end what else runs there, or take a larger machine"),
    (r"AF_UNIX path length", "the path of its temporary files is too long for a socket",
     "set RAY_TMPDIR to a short path, for example /tmp"),
    (r"No space left on device|Disk quota exceeded", "its temporary files have no room on the disk",
     "free some room, or set RAY_TMPDIR to a folder on another disk"),
    (r"Permission denied|Read-only file system|Not a directory|File exists",
     "it cannot write its temporary files", "set RAY_TMPDIR to a folder of your own"),
    LIMITED,
)  # fmt: skip
CLIENT = "ray://"
ADDRESS = re.compile(r"auto|([\w.-]+|\[[0-9a-fA-F:]+\]):([0-5]?\d{1,4}|6[0-5]\d{3})(/.*)?")
ON_A_NODE = "send the command to a node: ray job submit --address http://HOST:8265 -- quorum ... --address auto"
GIVE_TOKEN = "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH to the cluster's"
ANSWER_SECONDS = 3.0
MAPPED = 8e9  # bytes, the most that a process of a small Ray maps
WRITTEN = 1 << 20  # bytes, to see whether a disk is full
NO_NODE = re.compile(r"timed out during startup|node_ip_address|raylet|node info")
VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")


def refuse_client(address: str) -> None:
    """Refuse an address of Ray Client, whose driver is no process of the cluster: Ray Train and our own actors need it to be one.

    Raises:
        UserError: with what to do instead.
    """
    if address.startswith(CLIENT):
        raise UserError(f"{address!r} is of Ray Client, by which no training can be driven; {ON_A_NODE}")


@contextmanager
def starts_in_words(address: str | None) -> Iterator[None]:
    """Within the block a Ray that does not start, or does not take this process, is one sentence.

    Args:
        address: of the cluster to join; `None` where Ray is started on this machine.

    Raises:
        UserError: instead of what Ray raises.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a start that takes too long raises nothing more special
        raise (no_start(error) if address is None else no_cluster(error, address)) from error


def no_start(error: Exception) -> UserError:
    """Why Ray did not start on this machine."""
    full = _is_full() or (isinstance(error, OSError) and error.errno == errno.ENOSPC)
    said = "No space left on device" if full else str(error)
    for start in STARTS:
        if re.search(start[0], said):
            _, meaning, remedy = LIMITED if start is TOO_LATE and _may_map_little() else start
            return UserError(f"Ray did not start on this machine: {meaning}; {remedy}")
    return UserError(
        f"Ray did not start on this machine ({_first_line(error)}); its logs in /tmp/ray/session_latest/logs may tell why"
    )


def rays_folder() -> str:
    """Where a Ray that this process starts has its temporary files."""
    return os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"


def _is_full() -> bool:
    """Whether there is no room, of which Ray itself may say no more than that it waited for a file."""
    try:
        with tempfile.TemporaryFile(dir=rays_folder()) as file:
            file.write(bytes(WRITTEN))
    except OSError as error:
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    return False


def _may_map_little() -> bool:
    """Whether its processes find no place for what they map, of which Ray itself says only that they took too long."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return limit != resource.RLIM_INFINITY and limit < MAPPED


def no_cluster(error: Exception, address: str) -> UserError:
    """Why the cluster at an address could not be joined."""
    said, place = str(error), f"the Ray cluster at {address!r}"
    if "ersion mismatch" in said or "different version" in said:
        theirs, *mine = [f"Ray {ray} and Python {python}" for ray, python in VERSIONS.findall(said)] or ["another Ray or Python"]
        here = f", this process {mine[0]}" if mine else " than this process"
        return UserError(f"{place} runs {theirs}{here}; install the same on both sides")
    if "Found multiple active Ray instances" in said:
        return UserError("several Rays run on this machine; give the address of one: --address HOST:PORT")
    if not ADDRESS.fullmatch(address):
        return UserError(f"{address!r} is no address of a Ray cluster; give HOST:PORT, auto or local")
    if NO_NODE.search(said):
        return UserError(f"{place} has no node on this machine; run ray start --address={address} here, or {ON_A_NODE}")
    return _no_entry(said, address)


def _no_entry(said: str, address: str) -> UserError:
    """Nobody there, or one that does not let this process in."""
    place = f"the Ray cluster at {address!r}"
    if "authentication token was found" in said:
        return UserError(f"{place} is asked with a token (RAY_AUTH_MODE), and there is none; {GIVE_TOKEN}")
    if "connection timeout" in said:
        return UserError(f"{place} answers too slowly; {TOO_SLOW}")
    if listens(address):  # why Ray was turned away stands in its log alone
        return UserError(f"{place} answers, but does not take this process, as with another token or none; {GIVE_TOKEN}")
    return UserError(
        f"no Ray cluster answers at {address!r}; start one (ray up cluster.yaml, ray start --head), "
        "or leave the address (--address, RAY_ADDRESS) out to run here"
    )


def listens(address: str) -> bool:
    """Whether anything takes a connection at an address `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS):
            return True
    except (OSError, ValueError):
        return False


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n", maxsplit=1)[0][:200]
