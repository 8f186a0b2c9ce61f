"""SeCu: representations and the centers of their clusters, learned at once and without labels.

A step labels its rows as CoKe does, moves the duals, trains the centers on the fresh labels, and trains the network on the labels
and centers of the epoch before with CoKe's loss of two views. In epoch 0 only centers and duals learn.

Shapes: B rows, D embedding size, K clusters, H heads.

Source: Qian, "Stable Cluster Discrimination for Deep Clustering", ICCV 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.distributed.epoch_sums import EpochSums
from algos.distributed.nodes import Node
from algos.methods.clustered_method import ClusteredMethod
from algos.methods.coke.loss import Embeddings, LossWeights, cluster_loss
from algos.methods.instance_memory import InstanceMemory
from algos.methods.label_changes import LabelChanges
from algos.methods.method import Batch, EpochReport, InstanceGuesses
from algos.methods.secu.config import SeCuConfig
from algos.methods.secu.network import SeCuNetwork
from algos.methods.secu.trained_centers import CenterTraining, TrainedCenters

FIGURES = ("loss_representation", "loss_centers")


class SeCu(ClusteredMethod):
    """The method over one backbone; see `algos.methods.method.Method` for who calls what.

    Args:
        config: settings.
        backbone: images -> features, with `num_features`.
        num_instances: N, from the shards.
        batch_size: rows of a global batch.
        seed: of the initial centers.
        node: of this worker; `None` where it shares none.
    """

    kmeans: TrainedCenters
    clustering_epochs = 1  # the labels of epoch 0 are what epoch 1 learns from

    def __init__(
        self, config: SeCuConfig, backbone: nn.Module, *, num_instances: int, batch_size: int, seed: int = 0,
        node: Node | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.network: nn.Module = SeCuNetwork(backbone, config.dim, config.projector_layers, config.predictor_hidden)
        training = CenterTraining(
            config.center_temperature, config.center_lr, config.center_momentum, config.center_weight_decay, config.center_trust
        )
        self.kmeans = TrainedCenters(
            config.num_clusters, config.dim, training, min_size_ratio=config.min_size_ratio, seed=seed,
            max_size_ratio=config.max_size_ratio, dual_lr=config.dual_lr, batches_per_epoch=num_instances / batch_size,
        )  # fmt: skip
        self.memory = InstanceMemory(num_instances, len(config.num_clusters), node=node)
        predicted = 0.5 if config.predictor_hidden else 0.0
        self.weights = LossWeights(config.temperature, config.label_weight, predictor_weight=predicted)
        self.changes = LabelChanges()
        self.figures = EpochSums(len(FIGURES) + 1)  # rows come last

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what has a state."""
        return (*super().parts, "changes", "figures")

    def classifiers(self) -> dict[str, nn.Module]:
        """None: there are no classes."""
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Nothing: what differs between epochs is in the state."""

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Embed both views, cluster them, and score them against labels and centers of the epoch before.

        The centers' loss is part of the value; its gradient has gone to the centers already.
        """
        projected, predicted = network([batch.large])[0]
        views = [*projected, *predicted] if self.config.predictor_hidden else projected
        detached = [view.detach() for view in views]
        fresh = self.kmeans.assign_batch(torch.stack(detached).mean(dim=0))
        of_centers = self.kmeans.collect_views(detached, fresh)
        known = self.changes.known(self.memory.lookup(batch.ids, fresh.device), fresh)
        self.memory.observe(batch.ids, labels=fresh)
        embeddings = Embeddings(projected, predicted)
        losses = [
            cluster_loss(embeddings, None, centers, labels, self.weights)
            for centers, labels in zip(self.kmeans.per_head(self.kmeans.epoch_centers), known, strict=True)
        ]
        of_representation = torch.stack(losses).mean()
        self._count(of_representation.detach(), of_centers, len(batch.ids))
        return of_representation + of_centers

    def _count(self, of_representation: Tensor, of_centers: Tensor, rows: int) -> None:
        self.figures.add(torch.stack([of_representation, of_centers, torch.ones_like(of_centers)]).double() * rows)

    def finish_update(self) -> None:
        """Move duals and centers by the summed statistics."""
        self.kmeans.finish_update()

    def exchange(self) -> None:
        """Share the labels, the changes and the figures observed since the last call."""
        for part in (self.memory, self.changes, self.figures):
            part.exchange()

    def end_epoch(self) -> EpochReport:
        """Snapshot centers and say how the epoch went."""
        *sums, rows = self.figures.take().tolist()
        figures = {name: value / rows for name, value in zip(FIGURES, sums, strict=True)} if rows else {}
        return EpochReport(self.kmeans.end_epoch(), self.changes.figures() | figures)

    def knowledge(self, most: int | None = None) -> InstanceGuesses:
        """Clusters of the instances."""
        return InstanceGuesses(self.memory.labels[:, :most], {})
