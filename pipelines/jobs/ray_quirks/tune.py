"""Ray Tune: silent about failed trials, patient with functions that are stopped."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

NEXT_TO_NOTHING = {"memory": 1.0}  # a byte: Ray Tune refuses a trial that asks for nothing itself. No issue found


def quiet_tune() -> None:
    """Ray Tune's older output, which is silent when asked to be.

    The newer one says where the file with the traceback of a failed trial is, whatever `verbose` says. No issue found;
    ray-project/ray#36854 has a part of it.
    """
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"


def fit(tuner: Any, is_over: Callable[[], bool]) -> None:
    """Let a tuner work through its trials, without a result.

    Once they are over, Ray Tune reads the pickled errors of all of them for one that nobody asks for, and fails where a disk had
    no room for the whole of a pickle. No issue found.
    """
    try:
        tuner.fit()
    except (EOFError, UnpicklingError):
        if not is_over():
            raise


def ends_with_its_function(trainable: type[Any], seconds: float, waits: Callable[[], bool] = lambda: True) -> type[Any]:
    """A trainable made of a function, whose process waits for the function when the trial is stopped, for at most `seconds`.

    `waits` says whether it does, when it comes to that.

    Ray Tune makes the function leave its report, but ends the process without waiting for what it then does, such as closing
    its record. No issue found.
    """

    class Patient(trainable):
        """See above."""

        def cleanup(self) -> None:
            """Let the function end."""
            super().cleanup()
            if not waits():
                return
            for thread in threading.enumerate():
                if type(thread).__name__ == "RunnerThread":
                    thread.join(seconds)

    Patient.__name__ = trainable.__name__  # which the process is called
    return Patient
