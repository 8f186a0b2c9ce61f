"""Memory that a process can still get."""

from __future__ import annotations

import itertools
from pathlib import Path

from pipelines.control_groups import groups_of

LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))  # of a group, and what it uses


def free_bytes() -> int | None:
    """Bytes that this process can still get, of the machine or of a container or job; `None` where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    for group, (limit, used) in itertools.product(groups_of("memory"), LIMITS):
        try:
            cached = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            given_back = int(cached.get("total_inactive_file", cached.get("inactive_file", 0)))  # when somebody asks for it
            free = min(free, int((group / limit).read_text()) - int((group / used).read_text()) + given_back)
        except (OSError, ValueError):  # no group, or one without a limit
            continue
    return free
