"""Tables that processes have in common, and what their deaths leave behind."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from algos.distributed.shared_tables import TableShape, _Anonymous, from_all, shared_tables

SHAPES = {
    "labels": TableShape((2, 3), torch.int32, -1),
    "score": TableShape((1, 3), torch.float16),
    "kept": TableShape((3,), torch.bool),
}


def _write_and_read() -> tuple[list[Any], list[Any]]:
    tables, rank = shared_tables(0, SHAPES), dist.get_rank()
    new = [table.tolist() for table in tables.values()]
    from_all(None)
    for table in tables.values():
        table[..., rank] = rank + 1
    from_all(None)
    return new, [table.tolist() for table in tables.values()]


def test_each_worker_sees_what_the_others_write(gloo):
    new = [[[-1] * 3] * 2, [[0.0] * 3], [False] * 3]
    assert gloo(3, _write_and_read) == [(new, [[[1, 2, 3]] * 2, [[1.0, 2.0, 3.0]], [True] * 3])] * 3


def _sent_by_torch() -> tuple[bool, list[int]]:
    table = shared_tables(0, {"table": TableShape((2, 3), torch.int32)})["table"]
    try:
        ForkingPickler.dumps(table[:, :2])
        refused = False
    except OSError:
        refused = True
    from_all(None)
    table[0, dist.get_rank()] = 1
    from_all(None)
    return refused, table[0].tolist()


def test_a_table_that_torch_is_to_send_another_process_is_refused_and_stays_in_common(gloo):
    assert gloo(2, _sent_by_torch) == [(True, [1, 1, 0])] * 2


def _without_memory() -> str:
    if dist.get_rank() == 1:
        del os.memfd_create
    with pytest.raises(OSError, match="only Linux") as caught:
        shared_tables(1, SHAPES)
    return str(caught.value)


def test_what_one_worker_cannot_make_is_refused_on_all(gloo):
    assert len(set(gloo(2, _without_memory))) == 1


def test_the_numbers_of_a_process_in_another_container_open_nothing():
    memory = _Anonymous.of(4)
    shape = TableShape((4,), torch.uint8)
    try:
        assert memory.open(shape).tolist() == [0] * 4
        for strange in (memory._replace(mark="another"), memory._replace(process=2**22 + 1)):
            with pytest.raises(OSError, match="different containers"):
                strange.open(shape)
    finally:
        os.close(memory.descriptor)


def _wait_for_death(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    table = shared_tables(0, {"table": TableShape((1 << 20,), torch.int32, 7)})["table"]
    Path(folder, f"ready-{rank}").touch()
    while not Path(folder, "dead").exists():
        time.sleep(0.01)
    Path(folder, "sum").write_text(str(int(table.sum())))
    time.sleep(60)


def _users() -> list[int]:
    """Processes below this one that have our memory mapped."""
    living = [child.pid for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE]
    return sorted(process for process in living if "/memfd:quorum-" in Path(f"/proc/{process}/maps").read_text())


def _until(folder: str, *names: str) -> None:
    while not all(Path(folder, name).exists() and (name != "sum" or Path(folder, name).read_text()) for name in names):
        time.sleep(0.01)


def test_a_killed_worker_leaves_nothing_behind_and_takes_nothing_from_the_others():
    before = sorted(os.listdir("/dev/shm"))
    context = mp.get_context("forkserver")
    with tempfile.TemporaryDirectory() as folder:
        first, second = (context.Process(target=_wait_for_death, args=(rank, folder), daemon=True) for rank in range(2))
        for process in (first, second):
            process.start()
        _until(folder, "ready-0", "ready-1")
        assert _users() == sorted([first.pid, second.pid])
        assert not [name for name in os.listdir("/dev/shm") if name not in before and "quorum" in name]
        os.kill(first.pid, signal.SIGKILL)  # the one that made it
        first.join()
        Path(folder, "dead").touch()
        _until(folder, "sum")
        assert Path(folder, "sum").read_text() == str(7 << 20)
        os.kill(second.pid, signal.SIGKILL)
        second.join()
    assert _users() == []
