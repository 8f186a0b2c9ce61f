"""The progress of a job, shown while it runs: one line, and messages from its record."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

from ray.exceptions import RayError

from pipelines.jobs.waiting import Waiting
from pipelines.progress import progress
from pipelines.words import tell

POLL_SECONDS = 0.5


class Watch:
    """Shows the record's status in one progress line while a block runs, and what the job waits for.

    Args:
        what: is being done.
        record: of the run.
        steps: that it has.
        needs: what it asks of the cluster, in words.
    """

    def __init__(self, what: str, record: Any, steps: int, *, needs: str) -> None:
        self._what, self._record, self._steps, self._needs = what, record, steps, needs
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _show(self) -> None:
        with suppress(RayError):  # of a death the driver hears itself
            self._show_all()

    def _show_all(self) -> None:
        started, last, waiting = False, -1, Waiting(self._needs)
        with progress(self._what, self._steps, "steps") as bar:
            while not self._done.wait(POLL_SECONDS):
                status = self._record.poll()
                say(status.messages + waiting.look(at_work=status.step != last))
                last = status.step
                if status.step:
                    (bar.move_to if started else bar.start_at)(status.step, status.note)  # a rate is not of the workers' start
                    started = True
            bar.move_to(self._record.now().step)  # messages are for the end


def say(messages: list[str]) -> None:
    """Print messages for the user."""
    for message in messages:
        tell(message)
