"""The wish to stop a sweep, as its trials hear of it on whatever node they are."""

from __future__ import annotations

import os
import signal
from typing import Any

import ray

from pipelines.jobs.ray_cluster import only_on, this_node


class SweepWish:
    """Made by the sweep's process, asked by the trials'; one small actor holds it.

    Args:
        holder: the actor, where there is one already.
    """

    def __init__(self, holder: Any = None) -> None:
        make: Any = ray.remote(num_cpus=0, scheduling_strategy=only_on(this_node()))(_Holder) if holder is None else None
        self._holder = holder if make is None else make.remote()

    def __reduce__(self) -> tuple[Any, ...]:
        return SweepWish, (self._holder,)

    def make(self) -> None:
        """Let trials save and leave, and Ray Tune start no more of them: this signal it takes as a wish to end soon."""
        if signal.getsignal(signal.SIGUSR1) not in (signal.SIG_DFL, None):  # not before Ray Tune listens: it would end us
            os.kill(os.getpid(), signal.SIGUSR1)
        ray.get(self._holder.make.remote())

    def is_made(self) -> bool:
        """Whether the trials are to leave."""
        return bool(ray.get(self._holder.is_made.remote()))


class _Holder:
    """See `SweepWish`."""

    def __init__(self) -> None:
        self._made = False

    def make(self) -> None:
        """Remember it."""
        self._made = True

    def is_made(self) -> bool:
        """Tell it."""
        return self._made
