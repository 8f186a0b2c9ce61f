"""What a method is to the training loop: networks, a loss, and what happens at a step and at the end of an epoch.

The loop owns data, devices, optimisers and files; a method owns its networks and everything it learns beside them. A new
method is one more class of this shape.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from algos.kmeans.certificate import EpochSummary


@dataclass(frozen=True)
class LabelledRows:
    """This worker's labelled rows of a step: weak views (B, 3, S, S) float and labels (B,) int64, both on the device."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Batch:
    """This worker's rows of a global batch. The stream's rows have no labels: training cannot see them.

    Attributes:
        ids: (B,) int64 on the host.
        large: large views, each (B, 3, S, S) float on the device.
        small: small crops, likewise; may be empty.
        labelled: rows of the few that have a label, beside the B others; `None` where the run has no selection.
    """

    ids: Tensor
    large: list[Tensor]
    small: list[Tensor]
    labelled: LabelledRows | None = None

    def split(self, parts: int) -> list[Batch]:
        """Micro-batches for gradient accumulation, in order."""
        if parts == 1:
            return [self]
        ids, large = self.ids.tensor_split(parts), [view.tensor_split(parts) for view in self.large]
        small = [view.tensor_split(parts) for view in self.small]
        labelled: list[LabelledRows | None] = [None] * parts
        if self.labelled is not None:
            pairs = zip(self.labelled.images.tensor_split(parts), self.labelled.labels.tensor_split(parts), strict=True)
            labelled = [LabelledRows(*pair) for pair in pairs]
        return [Batch(ids[i], [view[i] for view in large], [view[i] for view in small], labelled[i]) for i in range(parts)]


@dataclass(frozen=True)
class EpochReport:
    """What a method says of a finished epoch: one summary a clustering head, and single figures by name."""

    heads: list[EpochSummary]
    figures: dict[str, float]


@dataclass(frozen=True)
class InstanceGuesses:
    """What a method knows of every instance, on the host, to be compared with the truth where there is one.

    Attributes:
        clusters: (H, N) int32, -1 where unseen.
        classes: guesses of each instance's class by name, each (N,) integer; empty for a method without classes.
        reliable: (N,) bool, the instances whose guess is trained on; `None` for a method without classes.
        prototypes: (C, D) unit rows, one a class; `None` for a method without classes.
    """

    clusters: Tensor
    classes: dict[str, Tensor]
    reliable: Tensor | None = None
    prototypes: Tensor | None = None


class Method(Protocol):
    """The interface between the training loop and a method.

    Per global batch the loop calls, on every worker: `loss` for each micro-batch, `begin_update` once before the last
    backward pass, `finish_update` once after it. The sum over workers that `begin_update` starts runs beside that pass.
    """

    network: nn.Module
    clustering_epochs: int  # at the start, without a backward pass

    @property
    def backbone(self) -> nn.Module:
        """Images (B, 3, S, S) -> features (B, F): what is evaluated and exported."""

    def classifiers(self) -> dict[str, nn.Module]:
        """Networks images (B, 3, S, S) -> logits (B, C) by name, to be scored while training; empty without classes."""

    def to(self, device: torch.device) -> Method:
        """Move what belongs on the device; returns itself."""

    def begin_epoch(self, epoch: int) -> None:
        """Called before the first batch of an epoch, also of one that is resumed in its middle."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Mean loss of a micro-batch, through `network` - this method's own, as the loop wrapped it."""

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, F) of images (B, 3, S, S) and their clusters (H, B)."""

    def begin_update(self) -> None:
        """Start summing the batch's statistics over the workers."""

    def finish_update(self) -> None:
        """Wait for the sums and apply them."""

    def exchange(self) -> None:
        """Make what is remembered per instance the same on all workers; before a checkpoint and at an epoch's end."""

    def end_epoch(self) -> EpochReport:
        """Close the epoch after `exchange`."""

    def knowledge(self, most: int | None = None) -> InstanceGuesses:
        """What is known of every instance, or of the first `most`; after `exchange`."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs of this method."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
