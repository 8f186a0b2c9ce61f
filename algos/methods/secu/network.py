"""SeCu's network: CoKe's, with a smaller projector where the images are small."""

from __future__ import annotations

from torch import nn

from algos.networks import ProjectedNetwork, feature_size


def small_projector(in_features: int, out_features: int) -> nn.Sequential:
    """In-in-D: BatchNorm and ReLU between, none after the last layer."""
    return nn.Sequential(
        nn.Linear(in_features, in_features), nn.BatchNorm1d(in_features), nn.ReLU(inplace=True),
        nn.Linear(in_features, out_features),
    )  # fmt: skip


class SeCuNetwork(ProjectedNetwork):
    """Backbone, projector and predictor, see `ProjectedNetwork`.

    Args:
        backbone: images -> features (B, F), with `num_features`.
        dim: D of the embeddings.
        projector_layers: 2 or, for CoKe's, 3.
        predictor_hidden: width of the predictor; 0 for none.
    """

    def __init__(self, backbone: nn.Module, dim: int, projector_layers: int, predictor_hidden: int) -> None:
        super().__init__(backbone, dim, predictor_hidden or None)
        if projector_layers == 2:
            self.projector = small_projector(feature_size(backbone), dim)
