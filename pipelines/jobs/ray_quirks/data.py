"""Ray Data: statistics that do not grow, and a loop that leaves the processor to others."""

from __future__ import annotations

import time
import uuid
from typing import Any

PAUSE = 0.02  # seconds
THIS_PROCESS = uuid.uuid4().hex[:12]


def same_in_statistics(data: Any, name: str) -> Any:
    """A Ray Data set that counts as the last one of that name of this process, wherever Ray keeps statistics.

    Ray's statistics actor keeps some hundred gauges of each data set that ever ran, and every epoch is one: 0.4 MB an epoch
    without end (ray-project/ray#43924; what #55925 bounds is another part of it). No two of a name may run at a time.
    """
    data._set_uuid(f"{name}-{THIS_PROCESS}")
    return data


class Breather:
    """Pauses Ray Data's scheduling loop between its rounds.

    The loop runs in the consumer's process and does not wait while its output is full: without a pause it held the interpreter
    and training fell to a quarter of its rate. A task takes longer than a round, so nothing starts noticeably later.
    No issue found; ray-project/ray#63544 gathers others about the loop.
    """

    def before_execution_starts(self, executor: Any) -> None:
        """Nothing to do."""

    def on_execution_step(self, executor: Any) -> None:
        """Let others run."""
        time.sleep(PAUSE)

    def after_execution_succeeds(self, executor: Any) -> None:
        """Nothing to do."""

    def after_execution_fails(self, executor: Any, error: Exception) -> None:
        """Nothing to do."""
