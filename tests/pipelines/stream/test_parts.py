"""Parts of a work: beside one another, in their order, each told once, on CPUs and on GPUs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.errors import UserError
from pipelines.stream import parts
from pipelines.stream.part_threads import while_wanted
from pipelines.stream.parts import Columns, over_parts
from tests.helpers.machines.own_python import answer_of

pytestmark = pytest.mark.ray

PATIENCE = 30.0  # s


def waits_for(file: Path) -> None:
    """Until a file is there."""
    end = time.monotonic() + PATIENCE
    while not file.exists():
        assert time.monotonic() < end, f"{file} did not come"
        time.sleep(0.01)


def task_of(work: Callable[[int], object]) -> Callable[[Columns], Iterator[Columns]]:
    """A task that yields the numbers of its parts after some work, twice each."""

    def task(columns: Columns) -> Iterator[Columns]:
        for number in columns["id"].tolist():
            work(number)
            yield {"part": np.array([number])}
            yield {"part": np.array([number])}

    return task


@pytest.fixture(params=[False, True], ids=["processes", "threads"])
def threads(request, local_ray, monkeypatch) -> bool:
    """Whether threads of this process carry the parts out."""
    monkeypatch.setattr(parts, "FEW_CPUS", 1 << 10)
    return request.param


def told(results: Iterator[Columns]) -> list[int]:
    return [number for columns in results for number in columns["part"].tolist()]


def test_two_parts_run_beside_one_another_from_the_first_on_and_are_told_in_their_order(threads, tmp_path):
    def work(number: int) -> None:
        (tmp_path / f"began-{number}").touch()
        if number < 2:
            waits_for(tmp_path / f"began-{1 - number}")
        if number % 2 == 0:
            time.sleep(0.05)  # the one after it is ready first

    assert told(over_parts(9, task_of(work), threads=threads)) == [part for part in range(9) for _ in range(2)]


def test_what_is_known_as_a_part_is_handed_out_reaches_it(threads):
    def task(columns: Columns) -> Iterator[Columns]:
        yield {"part": columns["id"], "found": columns["found"]}

    found = list[int]()
    for columns in over_parts(40, task, threads=threads, known=lambda: {"found": np.array([len(found)])}):
        assert columns["found"].item() <= columns["part"].item()
        found.append(columns["found"].item())
    assert found[0] == 0 < found[-1]
    assert found == sorted(found)


def test_no_parts_are_no_results(threads):
    assert told(over_parts(0, task_of(print), threads=threads)) == []


def test_what_a_part_refuses_is_the_refusal_alone_after_what_came_before_it(threads):
    def work(number: int) -> None:
        if number == 3:
            raise UserError("part 3 cannot be read")

    found, results = list[int](), over_parts(9, task_of(work), threads=threads)
    with pytest.raises(UserError, match=r"^part 3 cannot be read$") as refused:
        found.extend(columns["part"].item() for columns in results)
    assert refused.value.__cause__ is None


class Counting:
    """A task that remembers what it was called with."""

    def __init__(self) -> None:
        self.mine = 0

    def __call__(self, columns: Columns) -> Iterator[Columns]:
        self.mine += 1
        yield {"calls": np.array([self.mine]), "process": np.array([os.getpid()]), "torch": np.array([torch.get_num_threads()])}


def test_each_part_has_a_task_of_its_own_and_one_of_torchs_threads(threads):
    before = torch.get_num_threads()
    found = list(over_parts(5, Counting(), threads=threads))
    assert [int(columns["calls"].item()) for columns in found] == [1] * 5
    assert all((columns["process"].item() == os.getpid()) is threads for columns in found)
    assert {int(columns["torch"].item()) for columns in found} == {1}
    assert torch.get_num_threads() == before


def test_many_cpus_have_processes_of_their_own(local_ray, monkeypatch):
    monkeypatch.setattr(parts, "FEW_CPUS", 0)
    assert os.getpid() not in [columns["process"].item() for columns in over_parts(3, Counting(), threads=True)]


def test_threads_leave_a_part_in_its_middle_when_nobody_waits(local_ray, monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "FEW_CPUS", 1 << 10)

    def task(columns: Columns) -> Iterator[Columns]:
        if columns["id"].item():
            for step in while_wanted(range(10_000)):
                (tmp_path / f"step-{step}").touch()
                time.sleep(0.01)
        yield columns

    results = over_parts(2, task, threads=True)
    next(results)
    waits_for(tmp_path / "step-3")
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 20
    assert list(while_wanted([1, 2])) == [1, 2]  # another thread goes on


def test_threads_end_with_the_part_that_they_are_at_when_nobody_waits(local_ray, monkeypatch, tmp_path):
    monkeypatch.setattr(parts, "FEW_CPUS", 1 << 10)
    results = over_parts(100, task_of(lambda number: (tmp_path / f"began-{number}").touch()), threads=True)
    assert next(results)["part"] == [0]
    results.close()
    began = len(list(tmp_path.iterdir()))
    time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) == began < 100


def test_parts_that_nobody_waits_for_are_stopped(local_ray, tmp_path):
    def work(number: int) -> None:
        (tmp_path / f"began-{number}").touch()
        if number:
            waits_for(tmp_path / "never")

    results = over_parts(3, task_of(work))
    assert next(results)["part"] == [0]
    waits_for(tmp_path / "began-1")
    results.close()
    again = over_parts(4, task_of(lambda number: (tmp_path / f"again-{number}").touch()))
    assert told(again) == [part for part in range(4) for _ in range(2)]


def test_a_part_whose_process_dies_is_carried_out_again_and_told_once(local_ray, tmp_path):
    def work(number: int) -> None:
        mark = tmp_path / f"died-{number}"
        if number in (1, 4) and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    assert told(over_parts(6, task_of(work))) == [part for part in range(6) for _ in range(2)]


PARTS = """
import os
import ray
from pipelines.errors import UserError
from pipelines.jobs.ray_quirks.starts import few_processes
from pipelines.stream import parts as stream_parts
from pipelines.stream.parts import over_parts

stream_parts.SHARING_A_GPU = 2
with few_processes():  # no task looks for the GPUs themselves
    ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="error")

def task(batch):
    if refused in batch["id"]:
        raise UserError(f"part {refused} cannot be read")
    share = ray.get_runtime_context().get_assigned_resources()["GPU"]
    yield {"id": batch["id"], "rows": [len(batch["id"])], "process": [os.getpid()], "share": [share]}

refused = None
found = list(over_parts(9, task, gpu=True))
answer = {
    "parts": [[int(part["id"][0]), int(part["rows"][0])] for part in found],
    "processes": len({int(part["process"][0]) for part in found}),
    "shares of many": sorted({float(part["share"][0]) for part in found}),
    "shares of two": sorted({float(part["share"][0]) for part in over_parts(2, task, gpu=True)}),
}
refused = 1
try:
    list(over_parts(2, task, gpu=True))
except UserError as error:
    answer["refusal"] = str(error)
"""


@pytest.mark.job
def test_parts_are_shared_by_a_few_processes_that_stay_where_they_take_a_gpu():
    answer = answer_of(PARTS)
    assert answer["parts"] == [[part, 1] for part in range(9)]
    assert answer["processes"] <= 4
    assert answer["shares of many"] == [0.5]
    assert answer["shares of two"] == [1.0]
    assert answer["refusal"] == "part 1 cannot be read"
