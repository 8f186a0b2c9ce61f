"""What methods share that cluster what their network embeds: the way of an image to its clusters, devices, and the state."""

from __future__ import annotations

from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.methods.instance_memory import InstanceMemory
from algos.precision import in_fp32


class ClusteredMethod:
    """Base of such a method; see `algos.methods.method.Method` for who calls what.

    Attributes:
        network: with a `backbone` and a `projector`.
        kmeans: clusters the projected features.
        memory: of the instances; stays on the host.
    """

    network: nn.Module
    kmeans: OnlineConstrainedKMeans
    memory: InstanceMemory

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the attributes that have a state, in the order of the checkpoint."""
        return ("network", "kmeans", "memory")

    @property
    def backbone(self) -> nn.Module:
        """The backbone that is being trained."""
        return self.network.get_submodule("backbone")

    def to(self, device: torch.device) -> Self:
        """Move all parts but the memory."""
        for name in self.parts:
            if name != "memory":
                getattr(self, name).to(device)
        return self

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Backbone features (B, F) of images and their clusters (H, B) under the running centers and prices."""
        features = self.backbone(images)
        projector = self.network.get_submodule("projector")
        return features, in_fp32(lambda rows: self.kmeans.assign(F.normalize(projector(rows), dim=1)), features)

    def begin_update(self) -> None:
        """Start the all-reduce of the clustering statistics."""
        self.kmeans.begin_update()

    def state_dict(self) -> dict[str, Any]:
        """Of each part, by its name."""
        return {name: getattr(self, name).state_dict() for name in self.parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])
