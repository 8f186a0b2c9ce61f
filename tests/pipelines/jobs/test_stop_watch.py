"""Workers agree at the same step on what they do: go on, save because a machine is to go, or stop."""

from __future__ import annotations

import threading
import time

import pytest
import torch.distributed as dist

from pipelines.jobs import stop_watch
from pipelines.jobs.stop_watch import Next, StopWatch


def looks(wished_at: int | None, announced_at: int | None) -> list[str]:
    """What a worker does after each of twelve steps; one of them is wished to stop, and told of a loss, from a step on."""
    stop_watch.ASK_SECONDS, stop_watch.ANNOUNCED_SECONDS = 0.01, 0.0
    done: list[str] = []

    def announced() -> tuple[int, ...] | None:
        dist.barrier()  # all workers meet here, or none
        return None if announced_at is None or len(done) < announced_at else (1, 2)

    wished = None if dist.get_rank() else lambda: wished_at is not None and len(done) >= wished_at
    watch = StopWatch(wished, announced)
    while len(done) < 12 and "STOP" not in done:
        done.append(watch.look().name)
        time.sleep(0.05)
    watch.close()
    return done


def test_a_loss_that_is_announced_is_saved_for_once(gloo):
    mine, theirs, third = gloo(3, looks, None, 4)
    assert mine == theirs == third
    assert mine.count("SAVE") == 1
    assert mine.index("SAVE") >= 4
    assert "STOP" not in mine


def test_a_wish_stops_all_workers_after_the_same_step(gloo):
    mine, theirs = gloo(2, looks, 3, None)
    assert mine == theirs
    assert mine[-1] == "STOP"
    assert 4 <= len(mine) <= 6


def test_a_worker_that_is_alone_stops_by_itself_and_one_that_never_worked_leaves_no_thread():
    watch = StopWatch(lambda: True)
    assert not [thread for thread in threading.enumerate() if thread.name == "stop-watch"]
    deadline = time.monotonic() + 10
    while watch.look() is not Next.STOP:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    watch.close()


@pytest.mark.parametrize("told", [None, (3, 1)])
def test_what_nobody_would_know_is_not_asked(told):
    watch = StopWatch(None, None if told is None else lambda: told)
    assert [watch.look() for _ in range(3)] == [Next.GO_ON] * 3  # who does not look at the clock does not ask alone
    watch.close()
