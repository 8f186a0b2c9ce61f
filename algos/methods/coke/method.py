"""CoKe: representations without labels, by predicting the clusters of the epoch before.

One class covers the single-view, two-view and multi-crop recipes, several K-means heads, the second stage that averages labels
and centers over epochs, and the ablation of which epoch's labels and centers the loss uses.

Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.distributed.nodes import Node
from algos.methods.clustered_method import ClusteredMethod
from algos.methods.clustering import build_kmeans
from algos.methods.coke.config import CoKeConfig
from algos.methods.coke.loss import Embeddings, LossWeights, cluster_loss
from algos.methods.instance_memory import AveragedInstanceMemory, InstanceMemory
from algos.methods.label_changes import LabelChanges
from algos.methods.method import Batch, EpochReport, InstanceGuesses
from algos.networks import ProjectedNetwork


class CoKe(ClusteredMethod):
    """The method over one backbone; see `algos.methods.method.Method` for who calls what.

    Args:
        config: settings.
        backbone: images -> features, with `num_features`.
        num_instances: N, from the shards.
        batch_size: rows of a global batch.
        seed: of the initial centers.
        node: of this worker; `None` where it shares none.
    """

    clustering_epochs = 1  # the labels of epoch 0 are what epoch 1 learns from

    def __init__(
        self, config: CoKeConfig, backbone: nn.Module, *, num_instances: int, batch_size: int, seed: int = 0,
        node: Node | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        hidden = config.predictor_hidden if config.predictor_weight > 0 else None
        self.network: nn.Module = ProjectedNetwork(backbone, config.dim, hidden or None)
        self.kmeans = build_kmeans(
            config, config.num_clusters, batch_size=batch_size, batches_per_epoch=num_instances / batch_size,
            average_from=config.average_from, seed=seed,
        )  # fmt: skip
        heads = len(config.num_clusters)
        self.memory = (
            InstanceMemory(num_instances, heads, node=node)
            if config.average_from is None
            else AveragedInstanceMemory(num_instances, heads, slots=config.slots, average_from=config.average_from, node=node)
        )
        self.weights = LossWeights(config.temperature, config.label_weight, config.predictor_weight, config.large_weight)
        self.epoch = 0
        self.changes = LabelChanges()

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what has a state."""
        return (*super().parts, "changes")

    def classifiers(self) -> dict[str, nn.Module]:
        """None: there are no classes."""
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Follow the loop's epoch."""
        self.epoch = epoch
        if isinstance(self.memory, AveragedInstanceMemory):
            self.memory.epoch = epoch

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Embed the views, cluster the large ones, and score all views against the targets."""
        groups = [batch.large, batch.small] if batch.small else [batch.large]
        embedded = [Embeddings(z, p) for z, p in network(groups)]
        large, small = embedded[0], embedded[1] if batch.small else None
        fresh = self._cluster(batch, torch.stack([z.detach() for z in large.projected]).mean(dim=0))
        known = self.changes.known(self.memory.lookup(batch.ids, fresh.device), fresh)
        centers = self.kmeans.epoch_centers if self.config.target_centers == "previous" else self.kmeans.centers
        losses = [
            cluster_loss(large, small, head_centers, self._targets(batch.ids, head, known, fresh), self.weights)
            for head, head_centers in enumerate(self.kmeans.per_head(centers))
        ]
        return torch.stack(losses).mean()

    def _cluster(self, batch: Batch, embeddings: Tensor) -> Tensor:
        labels = self.kmeans.assign_batch(embeddings)
        self.kmeans.collect(embeddings, labels)
        self.memory.observe(batch.ids, labels=labels)
        return labels

    def _targets(self, ids: Tensor, head: int, known: Tensor, fresh: Tensor) -> Tensor:
        if self.epoch == 0 or self.config.target_labels == "current":
            return fresh[head]
        start = self.config.average_from
        if start is None or self.epoch <= start or not isinstance(self.memory, AveragedInstanceMemory):
            return known[head]
        clusters = self.config.num_clusters[head]
        soft, usable = self.memory.soft_targets(ids, head, clusters, self.config.slot_temperature, fresh.device)
        hard = nn.functional.one_hot(known[head], clusters).to(soft.dtype)
        return torch.where(usable[:, None], soft, hard)

    def finish_update(self) -> None:
        """Apply the summed statistics."""
        self.kmeans.finish_update()

    def exchange(self) -> None:
        """Share the labels and the changes observed since the last call, and the clustering's queue."""
        self.memory.exchange()
        self.kmeans.exchange()
        self.changes.exchange()

    def end_epoch(self) -> EpochReport:
        """Snapshot centers and say how the epoch went."""
        return EpochReport(self.kmeans.end_epoch(), self.changes.figures())

    def knowledge(self, most: int | None = None) -> InstanceGuesses:
        """Clusters of the instances."""
        return InstanceGuesses(self.memory.labels[:, :most], {})
