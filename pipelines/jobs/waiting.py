"""Says what a job waits for, once nothing has gone on for a minute because the cluster has no room."""

from __future__ import annotations

import time
from datetime import datetime

import ray
from ray.core.generated.gcs_pb2 import PlacementGroupTableData

from pipelines.jobs.ray_quirks.cluster import placement_groups
from pipelines.jobs.worker import Workers
from pipelines.words import counted

SAY_AFTER, SAY_AGAIN = 60.0, 600.0  # seconds
WITHOUT_ROOM = (PlacementGroupTableData.PENDING, PlacementGroupTableData.RESCHEDULING)


def described(workers: Workers) -> str:
    """What a job asks of the cluster, in words."""
    each = counted(workers.cpus, "CPU") + (f" and {workers.gpus:g} GPU" if workers.gpus else "")
    return f"{counted(workers.least, 'worker')} of {each} each"


class Waiting:
    """Asked now and then whether there is something to say.

    Args:
        for_what: is waited.
    """

    def __init__(self, for_what: str) -> None:
        self._for_what, self._since, self._said = for_what, time.time(), 0.0

    def look(self, *, at_work: bool) -> list[str]:
        """A sentence when a minute has passed without work, and every ten minutes from then on."""
        now = time.time()
        if at_work:
            self._since, self._said = now, 0.0
        if now - self._since < SAY_AFTER or now - self._said < SAY_AGAIN or not _lacks_room():
            return []
        self._said = now
        return [self._sentence()]

    def _sentence(self) -> str:
        everything, free = ray.cluster_resources(), ray.available_resources()
        room = " and ".join(f"{free.get(name, 0):g} of {everything.get(name, 0):g} {name}s" for name in ("CPU", "GPU"))
        since = datetime.fromtimestamp(self._since).strftime("%H:%M:%S")
        return (
            f"waiting since {since} for {self._for_what}: {room} are free in the cluster; start more nodes, wait until others "
            "end (ray status shows what they use), or end this with Ctrl-C and ask for less"
        )


def _lacks_room() -> bool:
    """Whether the cluster has no place for something that this driver asked for."""
    return any(group.state in WITHOUT_ROOM for group in placement_groups())
