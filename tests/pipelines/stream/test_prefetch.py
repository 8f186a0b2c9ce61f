"""Pipelines whose rows nobody takes keep nothing from the one whose rows are wanted."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
import ray.data

from pipelines.stream import prefetch
from pipelines.stream.prefetch import EpochPipeline
from pipelines.stream.ray_data import configure_ray_data

STEPS = 40  # of one row each, which is a block of Ray's
MEGABYTE = 1 << 20


class Large:
    """Reads one span whose rows are far more than a pipeline may have ready."""

    block_bytes, spans = MEGABYTE, range(1)

    def __init__(self, *, apart: bool) -> None:
        self.finish = functools.partial(self._rows) if apart else None

    def __call__(self, batch: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        yield from [{"step": np.arange(STEPS)}] if self.finish else self._rows(None)

    @staticmethod
    def _rows(table: pa.Table | None) -> Iterator[dict[str, np.ndarray]]:
        for step in range(STEPS):
            yield {"step": np.array([step]), "row": np.zeros((1, MEGABYTE), np.uint8)}


@pytest.mark.ray
@pytest.mark.job
@pytest.mark.parametrize("apart", [False, True], ids=["read", "read and made apart"])
def test_pipelines_that_wait_for_their_consumer_leave_the_cpus_to_others(local_ray, monkeypatch, apart):
    monkeypatch.setattr(prefetch, "AHEAD_BYTES", 4 * MEGABYTE)
    monkeypatch.setattr(prefetch, "PATIENCE", 300.0)
    configure_ray_data()
    monkeypatch.setattr(ray.data.DataContext.get_current(), "override_object_store_memory_limit_fraction", 0.001)
    cpus = int(ray.cluster_resources()["CPU"])

    def pipeline(name: str) -> EpochPipeline[int]:
        return EpochPipeline(Large(apart=apart), range(STEPS), 1, lambda parts: sum(len(part["row"]) for part in parts), name)

    waiting = [pipeline(f"waiting-{number}") for number in range(cpus + 2)]
    for each in waiting:
        assert each.next_batch() == (0, 1)
    time.sleep(1)
    wanted = pipeline("wanted")
    try:
        assert [wanted.next_batch() for _ in range(STEPS)] == [(step, 1) for step in range(STEPS)]
    finally:
        for each in (*waiting, wanted):
            each.stop()
