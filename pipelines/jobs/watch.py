"""The progress of a job, shown while it runs: one line, and messages from its recorder."""

from __future__ import annotations

import sys
import threading
from typing import Any

import ray

from pipelines.progress import progress

POLL_SECONDS = 0.5


class Watch:
    """Shows the recorder's status in one progress line while a block runs."""

    def __init__(self, what: str, recorder: Any, steps: int) -> None:
        self._what, self._recorder, self._steps = what, recorder, steps
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(5)

    def _show(self) -> None:
        started = False
        with progress(self._what, self._steps, "steps") as bar:
            while not self._done.wait(POLL_SECONDS):
                status = ray.get(self._recorder.poll.remote())
                say(status.messages)
                if status.step:
                    (bar.move_to if started else bar.start_at)(status.step, status.note)  # a rate is not of the workers' start
                    started = True
            bar.move_to(ray.get(self._recorder.poll.remote()).step)


def say(messages: list[str]) -> None:
    """Print messages for the user."""
    for message in messages:
        print(message, file=sys.stderr)
