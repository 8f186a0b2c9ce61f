"""Whether a worker is to stop: asked beside the training, and agreed on by all workers at the same step."""

from __future__ import annotations

import threading
from collections.abc import Callable

import ray

from algos.distributed.vote import Vote

ASK_SECONDS = 0.5


class StopWatch:
    """Asks in a thread of its own, on one worker; the others learn of it in a vote.

    Args:
        wished: whether anybody wishes the job to stop; `None` on workers that do not ask.
    """

    def __init__(self, wished: Callable[[], bool] | None) -> None:
        self._vote, self._wished = Vote(), False
        self._closed = threading.Event()
        if wished is not None:
            threading.Thread(target=self._ask, args=(wished,), name="stop-watch", daemon=True).start()

    def agreed(self) -> bool:
        """Whether all workers stop now; all of them ask equally often."""
        return self._vote.cast(self._wished)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._vote.close()

    def _ask(self, wished: Callable[[], bool]) -> None:
        while not self._closed.wait(ASK_SECONDS):
            try:
                self._wished = wished()
            except ray.exceptions.RayError:  # of a recorder that is gone the driver hears
                return
            if self._wished:
                return
