"""Memory that a process can still get."""

from __future__ import annotations

from pathlib import Path

LIMITS = (  # of a container, what it uses, and of what kinds that is
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory.stat"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        "/sys/fs/cgroup/memory/memory.stat",
    ),
)  # fmt: skip


def free_bytes() -> int | None:
    """Bytes that this process can still get, of the machine or of its container; `None` where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    for limit, used, kinds in LIMITS:
        try:
            cached = dict(line.split() for line in Path(kinds).read_text().splitlines())
            given_back = int(cached.get("total_inactive_file", cached.get("inactive_file", 0)))  # when somebody asks for it
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()) + given_back)
        except (OSError, ValueError):  # no container, or one without a limit
            continue
    return free
