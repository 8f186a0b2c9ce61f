"""CoKe: representations without labels, by predicting the clusters of the epoch before.

One class covers the single-view, two-view and multi-crop recipes, several K-means heads, the second stage that averages labels
and centers over epochs, and the ablation of which epoch's labels and centers the loss uses.

Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from algos.check_ranges import require_positive, require_shares
from algos.distributed.epoch_sums import EpochSums
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.methods.coke.loss import Embeddings, LossWeights, cluster_loss
from algos.methods.instance_memory import AveragedInstanceMemory, InstanceMemory
from algos.methods.method import Batch, EpochReport, InstanceGuesses
from algos.networks import ProjectedNetwork

Epoch = Literal["previous", "current"]


@dataclass(frozen=True)
class CoKeConfig:
    """Settings of CoKe; the papers' symbols in brackets.

    Attributes:
        num_clusters: clusters of each head [K].
        min_size_ratio: a cluster's minimum share of the rows times K [ratio]; 0 no minimum, 1 equal sizes.
        dual_lr: step size of the duals [lambda]; null takes `default_dual_lr`, from K, the ratio and the batches of an epoch.
        dim: size of the embeddings [D].
        predictor_hidden: width of the predictor; 0 for none.
        temperature: logits are similarities / temperature [T].
        label_weight: share of the cluster label in a view's target [alpha]; 1 with one view.
        predictor_weight: share of the predictor's loss, the rest is the projector's [beta].
        large_weight: share of the large views' loss against the small crops' [beta].
        target_labels: labels in the loss are of the `previous` epoch or the `current` batch.
        target_centers: centers in the loss are of the `previous` epoch's end or the `current` running ones.
        average_from: first epoch of the second stage [stage]; null for none.
        slots: labels remembered per instance in the second stage.
        slot_temperature: of the second stage's soft targets [tt].
    """

    num_clusters: list[int] = field(default_factory=lambda: [3000, 4000, 5000])
    min_size_ratio: float = 0.4
    dual_lr: float | None = None
    dim: int = 128
    predictor_hidden: int = 512
    temperature: float = 0.1
    label_weight: float = 1.0
    predictor_weight: float = 1.0
    large_weight: float = 0.5
    target_labels: Epoch = "previous"
    target_centers: Epoch = "previous"
    average_from: int | None = None
    slots: int = 5
    slot_temperature: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values outside their range, naming the key."""
        require_shares(self, "min_size_ratio", "label_weight", "predictor_weight", "large_weight", part="method")
        require_positive(self, "temperature", "slot_temperature", "dim", "slots", "dual_lr", part="method")
        if not self.num_clusters or min(self.num_clusters) < 2:
            raise ValueError(f"method.num_clusters is {self.num_clusters}; give at least one head of 2 clusters or more")
        if self.average_from is not None and self.average_from < 1:
            raise ValueError(f"method.average_from is {self.average_from}; the second stage starts at epoch 1 or later")

    def check(self, *, num_instances: int, large_views: int) -> None:
        """Refuse what cannot work with these data and views.

        Raises:
            ValueError: more clusters than instances, a second view's share with one view, or a second stage with two views.
        """
        if max(self.num_clusters) > num_instances:
            raise ValueError(
                f"method.num_clusters asks for {max(self.num_clusters)} clusters, but the shards hold {num_instances} "
                "training images; every cluster needs at least one"
            )
        if large_views == 1 and self.label_weight < 1:
            raise ValueError(
                f"method.label_weight is {self.label_weight}, which leaves a share for a second view, but views.large is 1; "
                "set label_weight to 1 or views.large to 2"
            )
        if large_views > 1 and self.average_from is not None:
            raise ValueError(
                "method.average_from (the second stage) needs one view; set views.large to 1 or average_from to null"
            )


class CoKe:
    """The method over one backbone; see `algos.methods.method.Method` for who calls what.

    Args:
        config: settings.
        backbone: images -> features, with `num_features`.
        num_instances: N, from the shards.
        batch_size: rows of a global batch.
        seed: of the initial centers.
    """

    clustering_epochs = 1  # the labels of epoch 0 are what epoch 1 learns from

    def __init__(self, config: CoKeConfig, backbone: nn.Module, *, num_instances: int, batch_size: int, seed: int = 0) -> None:
        self.config = config
        hidden = config.predictor_hidden if config.predictor_weight > 0 else None
        self.network: nn.Module = ProjectedNetwork(backbone, config.dim, hidden or None)
        self.kmeans = OnlineConstrainedKMeans(
            config.num_clusters,
            config.dim,
            min_size_ratio=config.min_size_ratio,
            dual_lr=config.dual_lr,
            batches_per_epoch=num_instances / batch_size,
            average_from=config.average_from,
            seed=seed,
        )
        heads = len(config.num_clusters)
        self.memory = (
            InstanceMemory(num_instances, heads)
            if config.average_from is None
            else AveragedInstanceMemory(num_instances, heads, slots=config.slots, average_from=config.average_from)
        )
        self.weights = LossWeights(config.temperature, config.label_weight, config.predictor_weight, config.large_weight)
        self.epoch = 0
        self.changes = EpochSums(2)  # labels that changed, and labels that could have

    @property
    def backbone(self) -> nn.Module:
        """The backbone that is being trained."""
        return self.network.get_submodule("backbone")

    def classifiers(self) -> dict[str, nn.Module]:
        """None: there are no classes."""
        return {}

    def to(self, device: torch.device) -> CoKe:
        """Move networks and clustering; the memory stays on the host."""
        self.network.to(device)
        self.kmeans.to(device)
        self.changes.to(device)
        return self

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
        known = self._compare(batch.ids, fresh)
        centers = self.kmeans.epoch_centers if self.config.target_centers == "previous" else self.kmeans.centers
        losses = [
            cluster_loss(large, small, head_centers, self._targets(batch.ids, head, known, fresh), self.weights)
            for head, head_centers in enumerate(self.kmeans.per_head(centers))
        ]
        return torch.stack(losses).mean()

    def _cluster(self, batch: Batch, embeddings: Tensor) -> Tensor:
        labels = self.kmeans.assign(embeddings)
        self.kmeans.collect(embeddings, labels)
        self.memory.observe(batch.ids, labels=labels)
        return labels

    def _compare(self, ids: Tensor, fresh: Tensor) -> Tensor:
        """Labels of the epoch before (H, B), the batch's own where an instance has none yet; counts the changes."""
        stored = self.memory.lookup(ids, fresh.device)
        has_label = stored >= 0
        self.changes.add(torch.stack([(has_label & (stored != fresh)).sum(), has_label.sum()]))
        return torch.where(has_label, stored, fresh)

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

    def embed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Backbone features (B, F) of images and their clusters (H, B) under the running centers and prices."""
        features = self.backbone(images)
        projected = self.network.get_submodule("projector")(features)
        return features, self.kmeans.assign(nn.functional.normalize(projected.float(), dim=1))

    def begin_update(self) -> None:
        """Start the all-reduce of the clustering statistics."""
        self.kmeans.begin_update()

    def finish_update(self) -> None:
        """Apply the summed statistics."""
        self.kmeans.finish_update()

    def exchange(self) -> None:
        """Share the labels and the changes observed since the last call."""
        self.memory.exchange()
        self.changes.exchange()

    def end_epoch(self) -> EpochReport:
        """Snapshot centers and say how the epoch went."""
        changed, compared = self.changes.take().tolist()
        figures = {"label_change": changed / compared} if compared else {}
        return EpochReport(self.kmeans.end_epoch(), figures)

    def knowledge(self, most: int | None = None) -> InstanceGuesses:
        """Clusters of the instances."""
        return InstanceGuesses(self.memory.labels[:, :most], {})

    def state_dict(self) -> dict[str, Any]:
        """Networks, clustering and memory."""
        return {
            "network": self.network.state_dict(),
            "kmeans": self.kmeans.state_dict(),
            "memory": self.memory.state_dict(),
            "changes": self.changes.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.network.load_state_dict(state["network"])
        self.kmeans.load_state_dict(state["kmeans"])
        self.memory.load_state_dict(state["memory"])
        self.changes.load_state_dict(state["changes"])
