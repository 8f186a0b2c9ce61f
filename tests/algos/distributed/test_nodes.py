"""Which workers share a node, and what each of them gets of the others."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist

from algos.distributed.collectives import counts_of_workers
from algos.distributed.nodes import Node
from algos.distributed.shared_tables import TableShape


def test_a_worker_alone_has_a_node_of_its_own_and_nobody_to_send_to():
    node = Node.meet("here", 100)
    assert (node.ranks, node.rails, node.crowded, node.free, node.apart) == ((0,), (), False, 100, "")
    assert list(node.from_others(torch.zeros(2, 2), [2])) == []


def _got(layouts: list[str]) -> list[tuple[tuple[int, ...], list[int]]]:
    """The ranks of this worker's node, and the workers whose rows it gets, in each layout; worker r has r rows of r."""
    rank, got = dist.get_rank(), []
    for names in layouts:
        node = Node.meet(names[rank])
        received = list(node.from_others(torch.full((rank, 2), rank), counts_of_workers(rank)))
        assert all(len(part) == number for part in received for number in part[:, 0].unique().tolist())
        got.append((node.ranks, sorted(int(part[0, 0]) for part in received if len(part))))
    return got


LAYOUTS = {  # names of the nodes of four workers, and what each worker gets; rank 0 has no rows
    "aaaa": ([(0, 1, 2, 3)] * 4, [[], [], [], []]),
    "aabb": ([(0, 1)] * 2 + [(2, 3)] * 2, [[2], [3], [], [1]]),
    "abab": ([(0, 2), (1, 3)] * 2, [[1], [], [3], [2]]),
    "abbb": ([(0,)] + [(1, 2, 3)] * 3, [[1, 2, 3], [], [], []]),
    "abcd": ([(0,), (1,), (2,), (3,)], [[1, 2, 3], [2, 3], [1, 3], [1, 2]]),
}


def test_each_node_gets_each_row_of_the_others_once(gloo):
    by_worker = gloo(4, _got, list(LAYOUTS))
    for index, (ranks, received) in enumerate(LAYOUTS.values()):
        assert [got[index] for got in by_worker] == list(zip(ranks, received, strict=True))


def _refused(free: list[int | None], names: str) -> str:
    rank = dist.get_rank() if dist.is_initialized() else 0
    with pytest.raises(MemoryError) as caught:
        Node.meet(names[rank], free[rank]).tables({"labels": TableShape((3, 10**9), torch.int32)}, "the memory")
    return str(caught.value)


def test_tables_that_fit_no_node_are_refused_on_every_worker_with_their_size(gloo):
    said = "the memory takes 12.0 GB on each node, and 8.1 GB are free there"
    assert _refused([int(8.1e9)], "a") == said
    assert gloo(3, _refused, [2 * 10**10, int(8.1e9), None], "aab") == [said] * 3


def _apart(free: int) -> tuple[str, int | None, list[int]]:
    del os.memfd_create
    node = Node.meet("a", free)
    tables = node.tables({"one": TableShape((1,), torch.int32, -1)}, "it")
    tables["one"][0] = dist.get_rank()
    received = [int(part[0, 0]) for part in node.from_others(torch.full((1, 1), dist.get_rank()), [1, 1])]
    return node.apart, node.free, [*tables["one"].tolist(), *received]


def test_workers_that_cannot_share_have_a_node_each_with_its_part_of_the_memory_and_say_why(gloo):
    why = "only Linux has memory without a name"
    assert gloo(2, _apart, 100) == [(why, 50, [0, 1]), (why, 50, [1, 0])]
