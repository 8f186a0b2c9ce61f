"""A vote that nobody waits for: all workers learn at the same call that one of them said yes."""

from __future__ import annotations

import pytest
import torch.distributed as dist

from algos.distributed.vote import Vote


def votes(said: int, at: int) -> list[list[bool]]:
    vote = Vote()
    outcomes = [vote.cast(dist.get_rank() == said and call == at, call == 0) for call in range(4)]
    vote.close()
    return outcomes


@pytest.mark.parametrize("said", [0, 2])
def test_all_workers_learn_of_it_at_the_next_call(gloo, said):
    assert gloo(3, votes, said, 1) == [[[False, False], [False, True], [True, False], [False, False]]] * 3


def test_a_worker_that_is_alone_need_not_wait():
    vote = Vote()
    assert [vote.cast(False), vote.cast(True), vote.cast(False, True)] == [[False], [True], [False, True]]
    vote.close()
