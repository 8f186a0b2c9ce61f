"""Whether workers are to stop, or to save because a machine of theirs is to go: agreed on by all of them at the same step."""

from __future__ import annotations

import enum
import threading
import time
from collections.abc import Callable, Hashable

import ray

from algos.distributed.vote import Vote

ASK_SECONDS = 0.5
ANNOUNCED_SECONDS = 5.0  # between two questions whether a machine is to go, at which all workers meet


class Next(enum.Enum):
    """What workers do after a step."""

    GO_ON = enum.auto()
    SAVE = enum.auto()
    STOP = enum.auto()


class StopWatch:
    """Asks in a thread of its own, on one worker; the others learn of it in a vote.

    Args:
        wished: whether anybody wishes the job to stop; `None` on workers that do not ask.
        announced: which machines of the workers are to go, and when; `None` for none. All workers meet in it and get the same;
            `None` where nobody would know.
    """

    def __init__(self, wished: Callable[[], bool] | None, announced: Callable[[], Hashable | None] | None = None) -> None:
        self._vote, self._wished, self._announced = Vote(), False, announced
        self._saved_for: set[Hashable] = set()
        self._asks, self._asked = wished is not None, time.monotonic()
        self._closed, self._thread = threading.Event(), None
        if wished is not None:
            self._thread = threading.Thread(target=self._ask, args=(wished,), name="stop-watch", daemon=True)

    def look(self) -> Next:
        """What all workers do now; all of them ask equally often."""
        if self._thread is not None and self._thread.ident is None:  # a worker that is refused never gets here
            self._thread.start()
        stop, ask = self._vote.cast(self._wished, self._is_time())
        if stop:
            return Next.STOP
        return Next.SAVE if ask and self._is_new() else Next.GO_ON

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._vote.close()

    def _is_time(self) -> bool:
        """Whether to ask what is announced, on the one worker that looks at the clock."""
        due = self._asks and self._announced is not None and time.monotonic() - self._asked > ANNOUNCED_SECONDS
        if due:
            self._asked = time.monotonic()
        return due

    def _is_new(self) -> bool:
        announced = self._announced() if self._announced is not None else None
        if announced is None or announced in self._saved_for:
            return False
        self._saved_for.add(announced)
        return True

    def _ask(self, wished: Callable[[], bool]) -> None:
        while not self._closed.wait(ASK_SECONDS):
            try:
                self._wished = wished()
            except ray.exceptions.RayError:  # of a recorder that is gone the driver hears
                return
            if self._wished:
                return
