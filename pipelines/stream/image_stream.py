"""Shards -> shuffled, decoded, cropped and augmented batches on the worker's device, through Ray Data.

Each worker runs a Ray Data pipeline over its own lanes (see `pipelines.stream.epoch_order`): tasks on any node of the cluster
read the row groups of a window, shuffle, decode and crop; uint8 pixels come back in order, in small blocks; the worker moves
them to its device and finishes the augmentation there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import ray
import torch
from torch import Tensor

from algos.methods.method import Batch, LabelledRows
from pipelines.datasets.image_shards import Dataset
from pipelines.stream.epoch_order import EpochOrder, StreamShape, lanes_of_worker
from pipelines.stream.image_windows import WindowReader
from pipelines.stream.prefetch import EpochPipeline, EpochPipelines
from pipelines.stream.ray_data import configure_ray_data
from pipelines.views.augment import augment, draws_needed, normalize
from pipelines.views.crops import CropSpec
from pipelines.views.view_config import Normalization, ViewConfig, Views


@dataclass(frozen=True)
class _HostBatch:
    """A batch as it leaves Ray Data, in page-locked memory where the device is a GPU."""

    step: int
    ids: Tensor
    labels: Tensor
    views: list[Tensor]


class ImageStream:
    """The training rows of one worker.

    Args:
        dataset: the shards.
        split: which of its splits.
        shape: how an epoch is cut.
        views: the rules of the views.
        normalization: of the pixels.
        seed: of order, crops and augmentation.
        rank: of this worker.
        workers: how many there are.
        device: where batches go.
        labelled: table (id, image, label) of the labelled rows that come with each batch, in Ray's object store.
    """

    def __init__(
        self, dataset: Dataset, split: str, shape: StreamShape, views: Views, normalization: Normalization,
        *, seed: int, rank: int = 0, workers: int = 1, device: torch.device | None = None, labelled: ray.ObjectRef | None = None,
    ) -> None:  # fmt: skip
        self.labelled = labelled
        self.dataset, self.split, self.shape, self.views = dataset, split, shape, views
        self.normalization, self.seed = normalization, seed
        self.device = device or torch.device("cpu")
        self.lanes = lanes_of_worker(shape.lanes, rank, workers)
        self.workers = workers
        order = self.order(0)
        self.steps, self.left_out = order.steps, order.left_out
        self._pipelines = EpochPipelines(self._start, self.steps)
        configure_ray_data(2 * workers)  # each prepares its next epoch while it trains

    def order(self, epoch: int) -> EpochOrder:
        """The order of an epoch."""
        return EpochOrder(self.dataset.split(self.split), self.shape, seed=self.seed, epoch=epoch)

    def share(self, rows_of_a_lane: int) -> slice:
        """This worker's rows of a global batch whose lanes have so many each."""
        return slice(self.lanes.start * rows_of_a_lane, self.lanes.stop * rows_of_a_lane)

    def epoch(self, epoch: int, start_step: int = 0, *, last: bool = False) -> Iterator[tuple[int, Batch]]:
        """Yield (step, batch) from `start_step` to the end; unless it is the `last` epoch, the next one is prepared meanwhile."""
        order = self.order(epoch)
        for host in self._pipelines.epoch(epoch, start_step, last=last):
            yield host.step, self._on_device(host, order)

    def take_waited(self) -> float:
        """Seconds spent waiting for data since the last call."""
        return self._pipelines.take_waited()

    def _start(self, epoch: int, start_step: int) -> EpochPipeline[_HostBatch]:
        crops = [CropSpec(view.size, view.scale, view.pad) for view in self.views.flat]
        reader = WindowReader(self.dataset, self.split, self.order(epoch), self.lanes, crops, start_step, self.labelled)
        rows = len(self.lanes) * (self.shape.lane_rows + self.shape.lane_labelled)
        convert = functools.partial(_to_host, views=len(crops), pin=self.device.type == "cuda")
        return EpochPipeline(reader, range(start_step, self.steps), rows, convert)

    def _on_device(self, host: _HostBatch, order: EpochOrder) -> Batch:
        generator = order.step_generator(host.step)
        colour_order = generator.permutation(4)
        rules, mine = self.views.flat, len(self.lanes) * self.shape.lane_rows
        draws = [self._draws(generator, rule, self.shape.batch_size, self.shape.lane_rows) for rule in rules]
        views = [
            self._finish(pixels[:mine], rule, draw, colour_order)
            for pixels, rule, draw in zip(host.views, rules, draws, strict=True)
        ]
        labelled = None
        if self.labelled is not None:
            draw = self._draws(generator, rules[0], self.shape.labelled, self.shape.lane_labelled)
            images = self._finish(host.views[0][mine:], rules[0], draw, colour_order)
            labelled = LabelledRows(images, host.labels[mine:].to(self.device, non_blocking=True))
        return Batch(host.ids[:mine], views[: self.views.num_large], views[self.views.num_large :], labelled)

    def _draws(self, generator: np.random.Generator, rule: ViewConfig, rows: int, lane_rows: int) -> Tensor:
        """Uniform draws of this worker's rows, out of those of the global batch."""
        return torch.from_numpy(generator.random((rows, draws_needed(rule)), dtype=np.float32)[self.share(lane_rows)])

    def _finish(self, pixels: Tensor, rule: ViewConfig, draws: Tensor, colour_order: np.ndarray) -> Tensor:
        return normalize(augment(pixels.to(self.device, non_blocking=True), rule, draws, colour_order), self.normalization)


def _to_host(step: int, batch: dict[str, np.ndarray], views: int, pin: bool) -> _HostBatch:
    # One copy out of the object store, whose pages are read-only, into memory that a GPU can fetch from.
    def copy(column: np.ndarray) -> Tensor:
        tensor = torch.empty(column.shape, dtype=torch.from_numpy(column[:0].copy()).dtype, pin_memory=pin)
        np.copyto(tensor.numpy(), column)
        return tensor

    # (rows, S, S, 3) seen as (rows, 3, S, S) is the channels_last layout already.
    pixels = [copy(batch[f"view{index}"]).permute(0, 3, 1, 2) for index in range(views)]
    return _HostBatch(step, torch.from_numpy(batch["id"].copy()), copy(batch["label"]), pixels)
