"""Vectors on their way to a clustering: Parquet rows -> batches of rows in their form on a worker's device."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pipelines.datasets.embedding_folder import EmbeddingFolder, first_spoilt
from pipelines.stream.epoch_order import EpochOrder
from pipelines.stream.prefetch import Columns
from pipelines.stream.transfer import joined
from pipelines.stream.vector_windows import VectorReader


@dataclass(frozen=True)
class VectorSource:
    """The rows of a folder.

    Attributes:
        rows: the folder, with the form of its rows.
        device: where batches go.
    """

    rows: EmbeddingFolder
    device: torch.device

    def reader(self, order: EpochOrder, lanes: range, start_step: int) -> VectorReader:
        """Reads some lanes of a pass."""
        return VectorReader(self.rows, order, lanes, start_step)

    def to_host(self, parts: list[Columns]) -> Tensor:
        """A copy of the rows (b, D), in page-locked memory where the device is a GPU.

        Raises:
            UserError: for a spoilt row, naming its file and row.
        """
        for part in parts:
            bad = first_spoilt(part["vector"], part["id"])
            if bad is not None:
                raise self.rows.refusal(bad)
        return joined(parts, "vector", pin=self.device.type == "cuda")

    def to_device(self, host: Tensor, order: EpochOrder, lanes: range, step: int) -> Tensor:
        """The rows (b, D) on the device."""
        return host.to(self.device, non_blocking=True)
