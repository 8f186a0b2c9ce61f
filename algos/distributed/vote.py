"""Questions that every worker answers at each step and none waits for: whether one of them said yes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from algos.distributed.collectives import is_distributed


class Vote:
    """Answers are summed on the host while the next step runs; all workers learn the outcome at the same call."""

    def __init__(self) -> None:
        self._running: tuple[torch.Tensor, Any] | None = None

    def cast(self, *yes: bool) -> list[bool]:
        """Give this worker's answer to each question; all workers call it equally often.

        Returns:
            Whether any worker said yes at the call before; of a worker that is alone, its own answers.
        """
        if not is_distributed():
            return list(yes)
        outcome = self._outcome(len(yes))
        answers = torch.tensor(yes, dtype=torch.float32)
        self._running = answers, dist.all_reduce(answers, async_op=True)
        return outcome

    def close(self) -> None:
        """Wait for the sum that runs: a process group is not left with it."""
        self._outcome(0)

    def _outcome(self, questions: int) -> list[bool]:
        running, self._running = self._running, None
        if running is None:
            return [False] * questions
        answers, work = running
        work.wait()
        return (answers > 0).tolist()
