"""ProtoCon: a classifier from a few labels per class, whose pseudo-labels the online clusters refine.

Shapes: B unlabelled rows, L labelled rows, C classes, D embedding size, K clusters, H heads, N instances.
FixMatch is a setting of it: no refinement, no alignment, hard targets, and neither prototypes nor consistency. So are FlexMatch,
FreeMatch, SoftMatch and AdaMatch, which have other rules of confidence.

Source: Nassar et al., "ProtoCon: Pseudo-label Refinement via Online Clustering and Prototypical Consistency for Efficient
Semi-supervised Learning", CVPR 2023; method.md section 3 names where the recorded reference differs.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from algos.distributed.batch_sums import BatchSums
from algos.distributed.epoch_sums import EpochSums
from algos.distributed.nodes import Node
from algos.methods.clustered_method import ClusteredMethod
from algos.methods.clustering import build_kmeans
from algos.methods.instance_memory import InstanceMemory, smallest_integer
from algos.methods.method import Batch, EpochReport, InstanceGuesses
from algos.methods.protocon.class_shares import ClassShares
from algos.methods.protocon.confidence.rule import Evidence
from algos.methods.protocon.confidence.rules import confidence_rule
from algos.methods.protocon.config import ProtoConConfig
from algos.methods.protocon.consistency import Consistency
from algos.methods.protocon.fairness import Fairness
from algos.methods.protocon.label_shift import LabelShift
from algos.methods.protocon.loss import (
    LossParts,
    Outputs,
    PseudoLabels,
    StepOutputs,
    consistency_loss,
    label_loss,
    pseudo_label_loss,
)  # fmt: skip
from algos.methods.protocon.prototypes import Prototypes
from algos.methods.protocon.pseudo_labels import Aligner, cluster_pseudo_labels, refine
from algos.networks import ClassifiedNetwork, Classifier

KNOWLEDGE_ROWS = 1 << 14
FIGURES = (
    "loss_labelled", "loss_unlabelled", "loss_prototype_labelled", "loss_prototype_unlabelled", "loss_consistency",
    "loss_fairness", "reliable_rate", "refined_change", "mean_threshold", "mean_weight",
)  # fmt: skip


def figure_names(config: ProtoConConfig) -> tuple[str, ...]:
    """What ProtoCon counts over the rows of an epoch: a fixed threshold is no figure, nor a loss without a weight."""
    absent = set() if config.fairness_weight else {"loss_fairness"}
    absent |= {"mean_threshold", "mean_weight"} if config.confidence == "fixed" else set()
    return tuple(name for name in FIGURES if name not in absent)


@dataclass(frozen=True)
class BatchMeans:
    """Means over the global batch: guesses (C,) for unlabelled and for labelled rows, and the confidence of the latter."""

    guesses: Tensor
    labelled: Tensor
    labelled_confidence: Tensor


def memory_columns(heads: int, num_classes: int) -> dict[str, tuple[int, torch.dtype]]:
    """What ProtoCon remembers of an instance besides its clusters: similarities, raw and refined class, whether it is trusted."""
    hard = (1, smallest_integer(num_classes))
    return {"score": (heads, torch.float16), "guess": hard, "pseudo_label": hard, "reliable": (1, torch.bool)}


class ProtoCon(ClusteredMethod):
    """The method over one backbone; see `algos.methods.method.Method` for who calls what.

    Args:
        config: settings.
        backbone: images -> features, with `num_features`.
        num_classes: C.
        num_instances: N, from the shards.
        batch_size: B of a global batch.
        seed: of the initial centers.
        unlabelled_classes: those of the C without a labelled row; no row is taken for one of them.
        label_counts: labelled rows of each class, (C,); empty for equally many.
        num_rows: images that are trained on; `None` for all N.
        node: of this worker; `None` where it shares none.
    """

    clustering_epochs = 0

    def __init__(
        self, config: ProtoConConfig, backbone: nn.Module, *, num_classes: int, num_instances: int, batch_size: int,
        seed: int = 0, unlabelled_classes: Sequence[int] = (), label_counts: Sequence[int] = (), num_rows: int | None = None,
        node: Node | None = None,
    ) -> None:  # fmt: skip
        self.config = config
        self.network: nn.Module = ClassifiedNetwork(backbone, num_classes, config.dim)
        # Data-parallel training waits for a gradient of every trained weight: without a loss the projection stays random.
        self.network.get_submodule("projector").requires_grad_(config.trains_projector)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False)
        heads = config.clusters(num_instances)
        batches = num_instances / batch_size
        self.kmeans = build_kmeans(config, heads, batch_size=batch_size, batches_per_epoch=batches, seed=seed)
        self.rule = confidence_rule(config, num_classes, num_rows or num_instances)
        self.fairness = Fairness(num_classes, config.mean_momentum) if config.fairness_weight else None
        columns = memory_columns(len(heads), num_classes) | dict(self.rule.columns)
        self.memory = InstanceMemory(num_instances, len(heads), columns, node=node)
        self.aligner = _aligner(config, num_classes, label_counts)
        shifts = config.alignment == "label_shift"
        self.label_shift = LabelShift(num_classes, label_counts, config.share_power) if shifts else None
        self.prototypes = Prototypes(num_classes, config.dim)
        self.consistency = Consistency(config.dim, config.temperature)
        self.cluster_labels = torch.full((sum(heads), num_classes), 1 / num_classes)  # z of the epoch before
        self.num_classes = num_classes
        self._taught = torch.ones(num_classes, dtype=torch.bool)
        self._taught[list(unlabelled_classes)] = False
        self.epoch, self.updates = 0, 0
        self._sums = BatchSums()
        self.figures = EpochSums(len(figure_names(config)) + 1)  # rows come last

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of what has a state; a rule may have none."""
        always = ("network", "averaged", "kmeans", "memory", "aligner", "prototypes", "consistency", "figures")
        learn = {"rule": self.rule, "fairness": self.fairness, "label_shift": self.label_shift}
        return (*always, *(name for name, part in learn.items() if part is not None and part.state_dict()))

    def classifiers(self) -> dict[str, nn.Module]:
        """The classifier with its trained and with its averaged weights."""
        return {"accuracy": Classifier(self.network), "accuracy_ema": Classifier(self.averaged)}

    def to(self, device: torch.device) -> Self:
        """Move networks, clustering and running means; the memory stays on the host."""
        super().to(device)
        self.cluster_labels, self._taught = self.cluster_labels.to(device), self._taught.to(device)
        return self

    def begin_epoch(self, epoch: int) -> None:
        """Follow the loop's epoch."""
        self.epoch = epoch

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """Classify and embed all rows in one pass, then learn from labels and pseudo-labels."""
        if batch.labelled is None or len(batch.large) != 2:
            raise ValueError("ProtoCon needs labelled rows, and a weak and a strong view of the others")
        rows = [len(batch.labelled.images), len(batch.ids), len(batch.ids)]
        logits, embeddings = network(torch.cat([batch.labelled.images, *batch.large]))
        labelled, weak, strong = map(Outputs, logits.split(rows), embeddings.split(rows))
        return self._loss(batch.ids, batch.labelled.labels, StepOutputs(labelled, weak.detach(), strong))

    def _loss(self, ids: Tensor, labels: Tensor, views: StepOutputs) -> Tensor:
        """Loss of B instances `ids` without and of rows with `labels` (L,); what it learns beside the networks is collected."""
        weak_targets = self.consistency.targets(views.weak.embeddings)
        means = self._batch_means(views, weak_targets)
        clusters = self._cluster(views.weak.embeddings)
        pseudo = self._pseudo_labels(ids, views.weak.logits, means, clusters)
        self._remember(ids, views.weak.embeddings, clusters, pseudo)
        self._collect_prototypes(labels, views, pseudo)
        parts = self._parts(labels, views, pseudo, weak_targets)
        self._count_step(parts, pseudo)
        return parts.weighed(self.config)

    def _parts(self, labels: Tensor, views: StepOutputs, pseudo: PseudoLabels, weak_targets: Tensor) -> LossParts:
        """The loss in its parts; `weak_targets` (B, D) are the weak views' distributions that the strong ones are to match."""
        config, strong, prototypes = self.config, views.strong, self._prototype_logits
        targets, trusted = pseudo.targets(soft=config.targets == "soft"), pseudo.trust.weights
        consistency = self.consistency.loss(strong.embeddings, weak_targets)
        return LossParts(
            labelled=label_loss(self._as_labelled(views.labelled.logits), labels),
            unlabelled=pseudo_label_loss(self.aligner.strong(strong.logits), targets, trusted),
            prototype_labelled=label_loss(prototypes(views.labelled.embeddings), labels),
            prototype_unlabelled=pseudo_label_loss(prototypes(strong.embeddings), targets, trusted),
            consistency=consistency_loss(consistency, trusted, unreliable_only=config.consistency_rows == "unreliable"),
            fairness=None if self.fairness is None else self.fairness.loss(strong.logits, pseudo.refined, trusted),
        )

    def _collect_prototypes(self, labels: Tensor, views: StepOutputs, pseudo: PseudoLabels) -> None:
        """Add the labelled rows, and the others as far as they are trusted, to the sums of the next prototypes."""
        labelled, weak = views.labelled.embeddings.detach(), views.weak.embeddings
        weights = torch.cat([torch.ones_like(labels, dtype=weak.dtype), pseudo.trust.weights])
        self.prototypes.collect(torch.cat([labelled, weak]), torch.cat([labels, pseudo.hard]), weights)

    def _count_step(self, parts: LossParts, pseudo: PseudoLabels) -> None:
        """Note the parts, the share of reliable rows, that of rows whose class the clusters changed, and what the rule says."""
        dtype = parts.labelled.dtype
        shares = [pseudo.reliable.to(dtype).mean(), (pseudo.hard != pseudo.guess).to(dtype).mean()]
        if self.config.confidence != "fixed":
            shares += [pseudo.trust.thresholds.mean(), pseudo.trust.weights.mean()]
        self._count(torch.stack([*(part.detach() for part in parts.all), *shares]), len(pseudo.hard))

    @torch.no_grad()
    def _batch_means(self, views: StepOutputs, weak_targets: Tensor) -> BatchMeans:
        """Means over all workers, which the guesses' alignment needs: a sum that a step waits for."""
        weak, labelled = (F.softmax(self._of_taught(outputs.logits), dim=1) for outputs in (views.weak, views.labelled))
        sums = self._sums.add(
            guesses=weak.sum(dim=0), targets=weak_targets.sum(dim=0), rows=weak.new_full((), len(weak)),
            labelled=labelled.sum(dim=0), labelled_confidence=labelled.amax(dim=1).sum(),
            labelled_rows=labelled.new_full((), len(labelled)),
        )  # fmt: skip
        count = sums["labelled_rows"]
        return BatchMeans(sums["guesses"] / sums["rows"], sums["labelled"] / count, sums["labelled_confidence"] / count)

    def _of_taught(self, logits: Tensor) -> Tensor:
        """Logits (B, C) of guesses; alignment would raise what no label teaches to the share of a class."""
        return logits.where(self._taught, torch.finfo(logits.dtype).min)

    @torch.no_grad()
    def _pseudo_labels(self, ids: Tensor, logits: Tensor, means: BatchMeans, clusters: Tensor) -> PseudoLabels:
        """What B instances are taken for, by weak logits (B, C) and clusters (H, B), and how far that is trusted."""
        logits = self._of_taught(logits)
        guesses = self.aligner.weak(logits, means.guesses, means.labelled)
        if self.label_shift is not None:
            self.label_shift.collect(guesses)
        refined = judged = self._refine(guesses, clusters)
        if not self.config.aligned_targets:
            guesses = F.softmax(logits, dim=1)
            refined = self._refine(guesses, clusters)
        remembered = {name: self.memory.lookup(ids, logits.device, name) for name in self.rule.columns}
        trust = self.rule.judge(Evidence(judged, means.labelled_confidence, remembered))
        return PseudoLabels.of(guesses, refined, trust)

    def _cluster(self, embeddings: Tensor) -> Tensor:
        clusters = self.kmeans.assign_batch(embeddings)
        self.kmeans.collect(embeddings, clusters)
        return clusters

    @torch.no_grad()
    def _refine(self, guesses: Tensor, clusters: Tensor) -> Tensor:
        if self.epoch < self.config.refine_from:
            return guesses
        of_heads = self.cluster_labels[clusters + self.kmeans.offsets]  # (H, B, C)
        return refine(guesses, of_heads.mean(dim=0), self.config.refine_weight)

    def _remember(self, ids: Tensor, embeddings: Tensor, clusters: Tensor, pseudo: PseudoLabels) -> None:
        self.memory.observe(
            ids, labels=clusters, guess=pseudo.guess[None], pseudo_label=pseudo.hard[None], reliable=pseudo.reliable[None],
            score=self.kmeans.similarity(embeddings, clusters, priced=self.config.priced_scores), **pseudo.trust.remembered,
        )  # fmt: skip

    def _as_labelled(self, logits: Tensor) -> Tensor:
        return logits if self.label_shift is None else self.label_shift.of_labelled(logits)

    def _prototype_logits(self, embeddings: Tensor) -> Tensor:
        return self.prototypes.logits(embeddings, self.config.temperature)

    def _count(self, means: Tensor, rows: int) -> None:
        self.figures.add(F.pad(means, (0, 1), value=1.0).double() * rows)

    def begin_update(self) -> None:
        """Start the all-reduce of the clustering statistics, and of the rule's."""
        super().begin_update()
        self.rule.begin_update()

    @torch.no_grad()
    def finish_update(self) -> None:
        """Apply the summed statistics, close the running means, and average the weights that were just updated."""
        self.kmeans.finish_update()
        self.rule.finish_update()
        self.aligner.finish()
        if self.fairness is not None:
            self.fairness.finish()
        self.consistency.finish(self._sums.total["targets"] / self._sums.total["rows"])
        self._sums.clear()
        momentum = min(self.config.ema_momentum, (1 + self.updates) / (10 + self.updates))  # forget the random start soon
        average = get_ema_multi_avg_fn(momentum)
        average(tuple(self.averaged.parameters()), tuple(self.network.parameters()), self.updates)
        self.updates += 1

    @torch.no_grad()
    def exchange(self) -> None:
        """Share what was remembered, the prototypes' sums and the figures; give the averaged weights the running statistics."""
        self.memory.exchange()
        self.kmeans.exchange()
        self.prototypes.exchange()
        self.figures.exchange()
        if self.label_shift is not None:
            self.label_shift.exchange()
        for averaged, current in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
            averaged.copy_(current)

    def end_epoch(self) -> EpochReport:
        """Make prototypes and cluster labels of the epoch, snapshot centers, and say how it went."""
        self.prototypes.end_epoch()
        if self.label_shift is not None:
            self.label_shift.end_epoch()
        hard = self.memory.column("pseudo_label")[0]
        heads = zip(self.memory.labels, self.memory.column("score"), self.kmeans.num_clusters, strict=True)
        made = [
            cluster_pseudo_labels(clusters, hard, scores, (size, self.num_classes), self.config.vote)
            for clusters, scores, size in heads
        ]
        self.cluster_labels = torch.cat(made).to(self.cluster_labels.device)
        *sums, rows = self.figures.take().tolist()
        figures = {name: value / rows for name, value in zip(figure_names(self.config), sums, strict=True)} if rows else {}
        if self.label_shift is not None:
            figures["largest_class_share"] = float(self.label_shift.shares.amax())
        return EpochReport(self.kmeans.end_epoch(), figures)

    def knowledge(self, most: int | None = None) -> InstanceGuesses:
        """Clusters and guesses of the instances: the classifier's, its cluster's, and the two refined into one."""
        clusters, memory = self.memory.labels[:, :most], self.memory
        table, offsets = self.cluster_labels.cpu(), self.kmeans.offsets.cpu()
        parts = clusters.split(KNOWLEDGE_ROWS, dim=1)  # never N x C at once
        voted = torch.cat([table[part.clamp(min=0).long() + offsets].mean(dim=0).argmax(dim=1) for part in parts])
        guess, refined = (memory.column(name)[0, :most] for name in ("guess", "pseudo_label"))
        guesses = {"classifier": guess, "cluster": voted, "refined": refined}
        return InstanceGuesses(clusters, guesses, memory.column("reliable")[0, :most], self.prototypes.prototypes.cpu())

    def state_dict(self) -> dict[str, Any]:
        """Networks, clustering, memory and running means."""
        return super().state_dict() | {"cluster_labels": self.cluster_labels, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        super().load_state_dict(state)
        self.cluster_labels.copy_(state["cluster_labels"])
        self.updates = state["updates"]


def _aligner(config: ProtoConConfig, num_classes: int, label_counts: Sequence[int]) -> Aligner:
    shares = ClassShares(
        num_classes, config.class_shares, label_counts=label_counts, power=config.share_power, momentum=config.mean_momentum
    )
    momentum = config.mean_momentum if config.alignment == "ema" else config.debias_momentum
    return Aligner(num_classes, config.alignment, weight=config.debias_weight, momentum=momentum, shares=shares)
