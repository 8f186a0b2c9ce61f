"""The control groups of Linux that limit a process: its container's, its batch job's, its service's."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

MINE, ALL = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def groups_of(kind: str) -> list[Path]:
    """Folders of the groups that this process is in, the innermost first: each of them limits it.

    Args:
        kind: what they limit, such as `memory`, which has a tree of its own where not all kinds have one.
    """
    try:
        lines = [line.split(":", 2) for line in MINE.read_text().splitlines()]
    except OSError:
        return []
    groups = []
    for _, kinds, path in lines:
        if not kinds or kind in kinds.split(","):
            inner = PurePosixPath(path.lstrip("/"))  # in a container perhaps as it is called outside, where it is not to be seen
            groups += [ALL / kinds / group for group in (inner, *inner.parents)]
    return groups
