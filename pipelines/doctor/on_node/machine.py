"""What a node's own system gives: shared memory, memory, disks and limits. Runs on the node."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from requests.utils import get_environ_proxies

from pipelines.control_groups import groups_of
from pipelines.doctor.findings import Finding, Page, fault, fine, noted
from pipelines.doctor.sizes import in_words
from pipelines.free_memory import free_bytes
from pipelines.jobs.ray_starts import rays_folder
from pipelines.stream.cpus import own_cpus

SHM = "/dev/shm"
LEAST_STORE, STORE_OF_CPU = 128e6, 24e6  # bytes of an object store, and of each CPU: a block has some 24 MB
GOOD_STORE_OF_CPU = 96e6  # a task holds a few blocks
LEAST_MEMORY = 0.5e9  # bytes that a worker's process needs before any image
FULL_SHARE = 0.95  # of a disk, from which on Ray puts nothing more there
LEAST_DISK, GOOD_DISK = 0.5e9, 5e9  # bytes: a checkpoint or two
LEAST_FILES, GOOD_FILES, LEAST_PROCESSES = 1024, 4096, 1024
CAPS = (  # limits that most systems do not set, by what they mean
    (resource.RLIMIT_FSIZE, "-f", "no file may have more than", fault),
    (resource.RLIMIT_CPU, "-t", "a process is ended when it has computed for", fault),
    (resource.RLIMIT_AS, "-v", "no process may map more than", noted),
    (resource.RLIMIT_DATA, "-d", "no process may have more memory of its own than", noted),
)
PROXIES = {"http", "https", "all"}  # schemes of http_proxy and its like
MOST_NAMED = 3  # addresses in a sentence


def raylet() -> tuple[int, dict[str, str]]:
    """The process of the raylet above this one, and its options; 0 and none where the system does not show it."""
    process = os.getppid()
    for _ in range(4):
        try:
            words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
            above = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            break
        options = dict(word[2:].split("=", 1) for word in words if word.startswith("--") and "=" in word)
        if "plasma_directory" in options:
            return process, options
        process = above
    return 0, {}


def _held(process: int) -> int:
    """Bytes of shared memory that a raylet's object store takes now: a file without a name, whose pages come as they are used."""
    held = 0
    with suppress(OSError):
        for file in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):  # closed meanwhile
                held += file.stat().st_blocks * 512 if os.readlink(file).startswith(f"{SHM}/") else 0
    return held


def look_at_memory(cpus: float, store: float) -> list[Finding]:
    """The object store, where it lies, and what is left of memory.

    Args:
        cpus: that Ray gives out here.
        store: bytes of the object store.
    """
    process, options = raylet()
    return [_shared(options.get("plasma_directory", SHM), cpus, store, _held(process) if process else 0), _free(cpus)]


def _shared(folder: str, cpus: float, store: float, held: float) -> Finding:
    check, page = "shared memory", Page.SHARED_MEMORY
    try:
        disk = os.statvfs(SHM)
    except OSError:
        return fault(check, f"there is no {SHM}", "mount it: docker run --shm-size=8g, or a medium: Memory volume", page)
    size, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    room, least = free + held, max(LEAST_STORE, STORE_OF_CPU * cpus)
    enlarge = f"make {SHM} larger (docker run --shm-size=8g; a medium: Memory volume in a pod)"
    left = f"of {SHM} ({in_words(size)}) {in_words(room)} are left for an object store that may take {in_words(store)}"
    said = ""
    if not os.path.realpath(folder).startswith(SHM):
        taken = f" and {in_words(free)} of it free" if free < size / 2 else ""
        said = f"{SHM} has {in_words(size)}{taken}, so Ray keeps its object store of {in_words(store)} on the disk, in {folder}"
    elif size < min(store, LEAST_STORE):
        said = f"{SHM} has {in_words(size)}, the object store may take {in_words(store)}"
    elif room < min(store, least):
        said, enlarge = left, f"delete what else lies there, or {enlarge}"
    if said:
        return fault(check, said, f"{enlarge}, and start the node again", page)
    if room < store:
        said = f"{left}: a process that writes there when it is full ends by a bus error"
        return noted(check, said, "delete what else lies there, or start the node with a smaller --object-store-memory", page)
    return _store(check, cpus, store, size)


def _store(check: str, cpus: float, store: float, size: float) -> Finding:
    """Whether the object store is large enough for the node's tasks."""
    larger, page = "start the node with a larger --object-store-memory, or lower stream.window", Page.SHARED_MEMORY
    if store < max(LEAST_STORE, STORE_OF_CPU * cpus):
        return fault(check, f"the object store has {in_words(store)}, too little for tasks on {cpus:.0f} CPUs", larger, page)
    if store < GOOD_STORE_OF_CPU * cpus:
        said = f"the object store has {in_words(store)} for {cpus:.0f} CPUs, so Ray may write objects to disk"
        return noted(check, said, larger, page)
    return fine(check, f"object store {in_words(store)}, {SHM} {in_words(size)}")


def _free(cpus: float) -> Finding:
    check, free = "memory", free_bytes()
    if free is None:
        return fine(check, "the system does not say")
    if free < LEAST_MEMORY:
        remedy = "end what else runs there, or take a larger machine: Ray ends tasks where memory is short"
        return fault(check, f"{in_words(free)} of memory are free", remedy, Page.MEMORY)
    if free < LEAST_MEMORY * cpus:
        remedy = "give Ray fewer CPUs there, or end what else runs"
        return noted(check, f"{in_words(free)} of memory are free for {cpus:.0f} CPUs", remedy, Page.MEMORY)
    return fine(check, f"{in_words(free)} free")


def look_where_no_ray_starts() -> list[Finding]:
    """What may keep a Ray from starting on this machine."""
    return [*look_at_memory(1.0, LEAST_STORE), *look_at_disks(None), *look_at_limits(1.0)]


def look_at_disks(storage: str | None) -> list[Finding]:
    """Room in Ray's folder, in the temporary one, and where runs go if that is local.

    Args:
        storage: a local folder, which may be missing yet.
    """
    ray_folder = raylet()[1].get("session_dir") or os.path.join(rays_folder(), "ray")
    named = {"disk of Ray": (ray_folder, "delete old /tmp/ray/session_*, or start the node with --temp-dir on another disk"),
             "temporary files": (os.environ.get("TMPDIR") or tempfile.gettempdir(), "free some room, or set TMPDIR")}  # fmt: skip
    if storage:
        named["disk of storage"] = (storage, "free some room, or give another --storage")
    return [look_at_disk(check, folder, remedy) for check, (folder, remedy) in named.items()]


def nearest(folder: str) -> Path:
    """The folder, or the one that is there of those above it."""
    place = Path(folder)
    while not os.path.exists(place) and place != place.parent:  # also where it may not be looked at
        place = place.parent
    return place


def look_at_disk(check: str, folder: str, remedy: str) -> Finding:
    """Room on the disk of a folder, which may be missing yet.

    Args:
        check: what is looked at.
        folder: its path.
        remedy: what to do where it has none.
    """
    place = nearest(folder)
    disk = os.statvfs(place)
    size, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    used = 1 - free / size if size else 0.0
    shown = f"{in_words(free)} of {in_words(size)} are free in {folder}"
    if disk.f_files and not disk.f_favail:
        return fault(check, f"{folder} can hold no more files: its disk has no inode left", remedy, Page.DISK)
    if size and (free < LEAST_DISK or (used > FULL_SHARE and check == "disk of Ray")):  # a mounted bucket may say 0 of both
        why = ", and Ray writes nothing to a disk that is full to 95 %" if free >= LEAST_DISK else ""
        return fault(check, f"the disk is full: {shown}{why}", remedy, Page.DISK)
    if check != "disk of storage" and not os.access(place, os.W_OK):
        return fault(check, f"nothing can be written in {folder}", remedy, Page.RIGHTS)
    if size and free < GOOD_DISK:
        return noted(check, f"the disk is nearly full: {shown}", remedy, Page.DISK)
    return fine(check, f"{in_words(free)} free" if size else "it does not say how large it is")


def look_at_limits(cpus: float) -> list[Finding]:
    """Files, processes, sizes and times that the system allows, and CPUs of the container.

    Args:
        cpus: that Ray gives out here.
    """
    found = [one for one in (_files(), _processes(), *_caps(), _cpus(cpus)) if one is not None]
    return found or [fine("limits", f"{_soft(resource.RLIMIT_NOFILE)} files a process")]


def _soft(limit: int) -> str:
    soft = resource.getrlimit(limit)[0]
    return "any number of" if soft == resource.RLIM_INFINITY else f"{soft:,}"


def _files() -> Finding | None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= GOOD_FILES:
        return None
    said, remedy = f"a process may open {soft:,} files (ulimit -n)", "start the node after ulimit -n 65536"
    if hard != resource.RLIM_INFINITY and hard < GOOD_FILES:
        remedy += ", which its administrator has to allow (LimitNOFILE of systemd, docker run --ulimit nofile=65536)"
    return (fault if soft <= LEAST_FILES else noted)("limits", said, remedy, Page.LIMITS)


def _processes() -> Finding | None:
    soft = resource.getrlimit(resource.RLIMIT_NPROC)[0]
    limits = [soft] if soft != resource.RLIM_INFINITY else []
    for group in groups_of("pids"):
        with suppress(OSError, ValueError):  # no group, or one without a limit
            limits.append(int((group / "pids.max").read_text()))
    if not limits or min(limits) >= LEAST_PROCESSES:
        return None
    remedy = "raise ulimit -u there, or the container's --pids-limit"
    return fault("limits", f"{min(limits):,} processes and threads are allowed", remedy, Page.LIMITS)


def _caps() -> Iterator[Finding]:
    for limit, option, said, made in CAPS:
        if (soft := resource.getrlimit(limit)[0]) != resource.RLIM_INFINITY:
            shown = f"{soft:,} s" if limit == resource.RLIMIT_CPU else in_words(soft)
            remedy = f"start the node after ulimit {option} unlimited"
            yield made("limits", f"{said} {shown} (ulimit {option})", remedy, Page.LIMITS)


def _cpus(cpus: float) -> Finding | None:
    has: float = own_cpus()
    for group in groups_of("cpu"):
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            has = min(has, int(quota) / int(period))
    if cpus <= max(has, 1):
        return None
    said = f"Ray gives out {cpus:.0f} CPUs, and the machine or its container has {has:.3g}"
    remedy = "workers take turns on them: ask for fewer, or start the node with as many --num-cpus as it has"
    return noted("CPUs", said, remedy, Page.ROOM)


def look_at_name(hosts: Sequence[str]) -> list[Finding]:
    """Whether other machines can use the name and address that this one gives itself, and whether a proxy stands between.

    Args:
        hosts: addresses of the cluster's machines.
    """
    found: list[Finding] = []
    if len(hosts) > 1 and not os.environ.get("GLOO_SOCKET_IFNAME"):
        try:
            address = socket.gethostbyname(socket.gethostname())
        except OSError:
            address = ""
        if not address or address.startswith("127."):
            said = f"its own name, {socket.gethostname()}, means {address or 'no address'}, where other nodes do not find it"
            remedy = "set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to the network's interface, or mend /etc/hosts"
            found.append(noted("network", said, remedy, Page.NETWORK))
    return [*found, *_proxies(hosts)] or [fine("name and proxies", "nothing in between")]


def _proxies(hosts: Sequence[str]) -> list[Finding]:
    """A note where a request to a machine of the cluster would go to a proxy; of a single machine, to itself."""
    asked = hosts if len(hosts) > 1 else ["localhost"]
    through = {host: PROXIES & get_environ_proxies(f"http://{f'[{host}]' if ':' in host else host}").keys() for host in asked}
    caught = [host for host in asked if through[host]]
    if not caught:
        return []
    names = " and ".join(sorted({f"{scheme}_proxy" for host in caught for scheme in through[host]}))
    more = f" and {len(caught) - MOST_NAMED} more" if len(caught) > MOST_NAMED else ""
    said = f"by {names} of its environment requests to {', '.join(caught[:MOST_NAMED])}{more} go to a proxy: no_proxy lacks them"
    return [noted("proxy", said, "set no_proxy to the addresses of the cluster, MLflow and the storage", Page.PROXY)]
