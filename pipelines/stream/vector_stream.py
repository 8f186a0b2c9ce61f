"""Parquet vectors -> batches of unit rows on a worker's device, through Ray Data: the same batches for any worker count."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipelines.datasets.embedding_folder import EmbeddingFolder, first_without_direction
from pipelines.stream.epoch_order import EpochOrder, StreamShape, lanes_of_worker
from pipelines.stream.prefetch import Columns, EpochPipeline, EpochPipelines
from pipelines.stream.ray_data import configure_ray_data
from pipelines.stream.vector_windows import VectorReader


@dataclass(frozen=True)
class VectorBatch:
    """A worker's rows (b, D) of a step."""

    step: int
    rows: Tensor


class VectorStream:
    """The rows of one worker, in passes.

    Args:
        vectors: the folder.
        shape: how a pass is cut.
        seed: of the order.
        rank: of this worker.
        workers: how many there are.
        device: where batches go.
    """

    def __init__(
        self, vectors: EmbeddingFolder, shape: StreamShape, *, seed: int, rank: int = 0, workers: int = 1, device: torch.device
    ) -> None:
        self.vectors, self.shape, self.seed, self.device = vectors, shape, seed, device
        self.lanes = lanes_of_worker(shape.lanes, rank, workers)
        self.steps = self.order(0).steps
        self._pipelines = EpochPipelines(self._start, self.steps)
        configure_ray_data(2 * workers)  # each prepares its next pass meanwhile

    def order(self, number: int) -> EpochOrder:
        """The order of a pass."""
        return EpochOrder(self.vectors, self.shape, seed=self.seed, epoch=number)

    def pass_over(self, number: int, start_step: int = 0, *, last: bool = False) -> Iterator[VectorBatch]:
        """Batches of pass `number` from `start_step` on; unless it is the `last`, the next one is prepared meanwhile.

        Raises:
            UserError: for a row that has no direction, naming its file and row.
        """
        for host in self._pipelines.epoch(number, start_step, last=last):
            yield VectorBatch(host.step, host.rows.to(self.device, non_blocking=True))

    def take_waited(self) -> float:
        """Seconds spent waiting for data since the last call."""
        return self._pipelines.take_waited()

    def _start(self, number: int, start_step: int) -> EpochPipeline[VectorBatch]:
        reader = VectorReader(self.vectors, self.order(number), self.lanes, start_step)
        convert = functools.partial(_to_host, vectors=self.vectors, pin=self.device.type == "cuda")
        rows = len(self.lanes) * self.shape.lane_rows
        return EpochPipeline(reader, range(start_step, self.steps), rows, convert)


def _to_host(step: int, batch: Columns, vectors: EmbeddingFolder, pin: bool) -> VectorBatch:
    bad = first_without_direction(batch["vector"], batch["id"])
    if bad is not None:
        raise vectors.refusal(bad)
    rows = torch.empty(batch["vector"].shape, pin_memory=pin)
    np.copyto(rows.numpy(), batch["vector"])
    return VectorBatch(step, rows)
