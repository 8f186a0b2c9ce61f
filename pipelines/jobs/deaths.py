"""What is said when a process of Ray dies that a job cannot do without."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ray.exceptions import RayError, RayTaskError

from pipelines.errors import UserError

KNOWN = {"TrainController": "the controller of Ray Train", "Recorder": "the recorder of the run"}
NAMED = re.compile(r"class_name: (\w+)")


@contextmanager
def deaths_in_words(go_on: str) -> Iterator[None]:
    """Within the block the death of a process, of a node or of all of Ray is one sentence.

    Args:
        go_on: command that goes on with the job.

    Raises:
        UserError: instead of Ray's errors; what a task itself raises passes.
    """
    try:
        yield
    except RayTaskError:
        raise
    except RayError as error:
        name = NAMED.search(str(error))
        who = KNOWN.get(name[1], name[1]) if name else f"Ray ({type(error).__name__})"
        raise UserError(f"{who} died, or the machine that it was on; what was saved is whole, go on with it: {go_on}") from error
