"""Which process this is, and whether one that wrote down the same of itself still lives."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

STATE, STARTED = 0, 19  # fields of /proc/PID/stat after the name
DEAD = ("Z", "X")


def this_process() -> dict[str, Any]:
    """Host, pid, when it was started, and the machine since its last start, as far as its processes see each other."""
    return process(os.getpid())


def process(pid: int) -> dict[str, Any]:
    """The same of another process of this machine."""
    return {"host": socket.gethostname(), "pid": pid, "machine": _machine(), "started": _started(pid)}


def lives(process: dict[str, Any]) -> bool | None:
    """Whether a process lives; `None` where that cannot be seen from here: it is on another machine, or in another container."""
    if process.get("machine") != _machine() or not isinstance(process.get("pid"), int):
        return None
    started = _started(process["pid"])
    if started is not None or process.get("started") is not None:
        return started == process.get("started")  # a number is given again to other processes
    try:
        os.kill(process["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _machine() -> str:
    """The host, and of a Linux its last start and the namespace of the pids, which a container may have for itself."""
    seen = [socket.gethostname()]
    with suppress(OSError):
        seen += [Path("/proc/sys/kernel/random/boot_id").read_text().strip(), os.readlink("/proc/self/ns/pid")]
    return " ".join(seen)


def _started(pid: int) -> str | None:
    """When a process was started, in ticks since the start of the machine; `None` for one that is gone, or without /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[STATE] in DEAD else fields[STARTED]
