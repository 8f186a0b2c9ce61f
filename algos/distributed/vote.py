"""A question that every worker answers at each step and none waits for: whether one of them said yes."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from algos.distributed.collectives import is_distributed


class Vote:
    """Answers are summed on the host while the next step runs; all workers learn the outcome at the same call."""

    def __init__(self) -> None:
        self._running: tuple[torch.Tensor, Any] | None = None

    def cast(self, yes: bool) -> bool:
        """Give this worker's answer; all workers call it equally often.

        Returns:
            Whether any worker said yes at the call before; of a worker that is alone, its own answer.
        """
        if not is_distributed():
            return yes
        outcome = self._outcome()
        answer = torch.tensor(float(yes))
        self._running = answer, dist.all_reduce(answer, async_op=True)
        return outcome

    def close(self) -> None:
        """Wait for the sum that runs: a process group is not left with it."""
        self._outcome()

    def _outcome(self) -> bool:
        running, self._running = self._running, None
        if running is None:
            return False
        answer, work = running
        work.wait()
        return bool(answer > 0)
