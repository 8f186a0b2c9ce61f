"""A stream of vectors on a real local Ray: the same batches for any worker count, and an order that is checked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.data
import torch

from pipelines.datasets.embedding_folder import EmbeddingFolder
from pipelines.stream import epoch_order, prefetch, row_groups
from pipelines.stream.cpus import free_cpus
from pipelines.stream.epoch_order import EpochOrder, StreamShape
from pipelines.stream.epoch_stream import EpochStream
from pipelines.stream.vector_stream import VectorSource
from pipelines.stream.vector_windows import VectorReader

pytestmark = pytest.mark.ray

PATIENCE = 30.0  # s
SHAPE = StreamShape(batch_size=96, lanes=4, window=64)  # lanes of 24 rows, windows of 3 steps, 20 steps of 2000 rows


class LateStart(VectorReader):
    """Waits with the first window until another one is read, which leaves a file that says so."""

    def __init__(self, said: Path, *given: Any) -> None:
        super().__init__(*given)
        self.said = said

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        end = time.monotonic() + PATIENCE
        while 0 in batch["id"] and not self.said.exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3 if 0 in batch["id"] else 0)  # longer than the other one needs to come
        windows = list(super().__call__(batch))
        self.said.touch()  # before they are given: who stops at the other one never asks it to go on
        yield from windows


@dataclass(frozen=True)
class LateVectors(VectorSource):
    """Vectors whose first window comes after another one."""

    said: Path = Path()

    def reader(self, order: EpochOrder, lanes: range, start_step: int) -> VectorReader:
        return LateStart(self.said, self.rows, order, lanes, start_step)


def open_stream(
    folder, kind: Callable[..., VectorSource] = VectorSource, rank: int = 0, workers: int = 1
) -> EpochStream[torch.Tensor]:
    source = kind(EmbeddingFolder.open(str(folder)), torch.device("cpu"))
    return EpochStream(source, SHAPE, seed=3, rank=rank, workers=workers)


def read(stream: EpochStream[torch.Tensor], start_step: int = 0) -> list[tuple[int, torch.Tensor]]:
    return list(stream.epoch(0, start_step, last=True))


@pytest.fixture(scope="module")
def whole(local_ray, lumps) -> list[tuple[int, torch.Tensor]]:
    return read(open_stream(lumps))


def test_any_worker_count_and_any_start_give_the_same_vectors(whole, lumps):
    assert [step for step, _ in whole] == list(range(20))
    parts = [read(open_stream(lumps, rank=rank, workers=2)) for rank in range(2)]
    for (_, rows), *shares in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([share for _, share in shares]), rows)
    for (step, rows), (expected, same) in zip(read(open_stream(lumps), start_step=7), whole[7:], strict=True):
        assert step == expected
        assert torch.equal(rows, same)


def test_an_epoch_that_is_planned_in_parts_gives_the_same_vectors(whole, lumps, monkeypatch):
    monkeypatch.setattr(epoch_order, "PART_GROUPS", 5)
    monkeypatch.setattr(prefetch, "START_AHEAD", 0.0)
    stream = open_stream(lumps)
    assert stream.pipelines._part_steps == 6
    for start in (0, 7):  # one that lies within a part
        for (step, rows), (expected, same) in zip(read(stream, start), whole[start:], strict=True):
            assert step == expected
            assert torch.equal(rows, same)


def test_the_next_part_is_prepared_while_one_is_used(whole, lumps, monkeypatch):
    monkeypatch.setattr(epoch_order, "PART_GROUPS", 5)
    stream, begun = open_stream(lumps), []
    for step, rows in stream.epoch(0):
        begun.append(stream.pipelines.prepared and stream.pipelines.prepared[0])
        assert torch.equal(rows, whole[step][1])
    stream.close()
    assert begun == [(0, 6)] * 6 + [(0, 12)] * 6 + [(0, 18)] * 6 + [(1, 0)] * 2


@pytest.fixture
def late(whole, lumps, monkeypatch, tmp_path) -> EpochStream[torch.Tensor]:
    """A stream whose first window is read after another one."""
    monkeypatch.setattr(row_groups, "HELD_BYTES", 0)  # each window is a span of its own
    end = time.monotonic() + PATIENCE
    while free_cpus() < 2 and time.monotonic() < end:  # what the tests before have read with is given back
        time.sleep(0.05)
    return open_stream(lumps, partial(LateVectors, said=tmp_path / "read"))


@pytest.mark.job
def test_a_window_that_comes_late_is_waited_for(whole, late):
    for (step, rows), (expected, same) in zip(read(late), whole, strict=True):
        assert step == expected
        assert torch.equal(rows, same)
    assert late.source.said.exists()


@pytest.mark.timeout(120)
def test_batches_in_another_order_are_refused(late):
    options = ray.data.DataContext.get_current().execution_options
    options.preserve_order = False  # a stream sets it when it is opened
    try:
        with pytest.raises(RuntimeError, match=r"came in the turn of step \d+: .*preserve_order"):
            read(late)
    finally:
        options.preserve_order = True
