"""Online constrained k-means: every cluster gets a minimum share of the stream, and where it is asked for no more than a maximum.

Shapes: B rows of a batch, D embedding size, K clusters. Embeddings and centers are unit vectors, so the
similarity of a row and a cluster is their dot product. A cluster's *dual* is the price that its lower bound adds to its
similarities: it rises while the cluster gets less than its minimum share and falls otherwise. An upper bound has a dual
of its own, which is taken off them: it rises while the cluster gets more than its maximum share. The price of a cluster is
the first less the second. Without `spherical`, rows and centers have any length and the similarity is
x . c - |c|^2 / 2: largest where the Euclidean distance is smallest.

Source: Qian et al., "Unsupervised Visual Representation Learning by Online Constrained K-Means", CVPR 2022, section 3.2.
There: dual rho_k, minimum size gamma_k = ratio * N / K, dual step size lambda. The upper bound is the same derivation with the
other sign, with dual sigma_k and maximum size Gamma_k.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from algos.distributed.collectives import Summing, begin_sum
from algos.kmeans.certificate import EpochSummary, margins
from algos.kmeans.dual_step import default_dual_lr
from algos.kmeans.step_arithmetic import (
    add_statistics,
    ascend,
    ascend_above,
    assign,
    closeness,
    move,
    priced_similarities,
    random_centers,
)  # fmt: skip


class OnlineConstrainedKMeans(nn.Module):
    """Centers, duals and counts of one or more heads, each with its own number of clusters.

    The heads lie one below another in one (sum of K, D) matrix: one product, one statistic and one all-reduce serve
    them all. Per batch: `assign_batch`, `collect`, `begin_update` (starts the sum over workers), `finish_update`. Several
    `assign_batch` and `collect` calls may precede one update, which is how gradient accumulation keeps the batch whole.

    From epoch `average_from` on (CoKe's second stage) centers are averages over epochs: assignment uses the average of
    the finished epochs, and this epoch's mean enters it at the end with weight 1 / (t - average_from + 1).

    Args:
        num_clusters: K of each head.
        dim: D.
        min_size_ratio: a cluster's minimum share of the rows times K, in [0, 1]. 0 is plain online k-means, 1 asks for
            equal sizes and lets the duals go below zero.
        max_size_ratio: a cluster's maximum share of the rows times K, 1 or more; `None` for no upper bound.
        dual_lr: lambda of both bounds; `None` takes `default_dual_lr` of each head, for each bound by its own ratio.
        batches_per_epoch: N / B; only the default of `dual_lr` needs it.
        average_from: first epoch of the second stage; `None` for never.
        seed: of the random initial centers.
        initial_centers: (sum of K, D) instead of random ones; unit vectors if `spherical`.
        spherical: whether rows and centers are unit vectors. If not, centers are plain means, and duals and `dual_lr`
            are in units of squared distances; only without `average_from`.

    Raises:
        ValueError: for impossible settings, each named in the message.
    """

    centers: Tensor
    epoch_centers: Tensor
    duals: Tensor
    counts: Tensor
    epoch: Tensor
    start_duals: Tensor
    share_sum: Tensor
    batches: Tensor
    rows: Tensor
    min_share: Tensor
    dual_lr: Tensor
    max_duals: Tensor
    start_max_duals: Tensor
    max_share: Tensor
    max_dual_lr: Tensor
    offsets: Tensor
    statistics: Tensor

    def __init__(
        self,
        num_clusters: Sequence[int],
        dim: int,
        *,
        min_size_ratio: float = 0.4,
        max_size_ratio: float | None = None,
        dual_lr: float | None = None,
        batches_per_epoch: float = 1000.0,
        average_from: int | None = None,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        initial_centers: Tensor | None = None,
        spherical: bool = True,
    ) -> None:
        super().__init__()
        if not 0 <= min_size_ratio <= 1:
            raise ValueError(f"min_size_ratio is {min_size_ratio}; it must lie in [0, 1]")
        if max_size_ratio is not None and not 1 <= max_size_ratio < math.inf:
            raise ValueError(f"max_size_ratio is {max_size_ratio}; it must be 1 or more, or None for no upper bound")
        if not num_clusters or min(num_clusters) < 1:
            raise ValueError(f"num_clusters is {list(num_clusters)}; give at least one head of at least one cluster")
        if max_size_ratio is not None:  # a cluster of all rows is within any more, and a large number would leave the dtype
            max_size_ratio = float(min(max_size_ratio, max(num_clusters)))
        if dual_lr is not None and dual_lr <= 0:
            raise ValueError(f"dual_lr is {dual_lr}; it must be positive")
        if average_from is not None and not spherical:
            raise ValueError("average_from needs spherical: the second stage averages directions")
        self.num_clusters = tuple(num_clusters)
        self.spherical = spherical
        self.equality = min_size_ratio == 1
        self.bounded_above = max_size_ratio is not None and not self.equality  # which keeps any upper bound too
        self.average_from = average_from
        total = sum(num_clusters)
        sizes = torch.tensor(self.num_clusters)
        centers = random_centers(total, dim, seed, dtype) if initial_centers is None else initial_centers.to(dtype).clone()
        if centers.shape != (total, dim):
            raise ValueError(f"initial_centers have shape {tuple(centers.shape)}; {(total, dim)} is needed")
        # Derived from the configuration, so they are not part of the state.
        self.register_buffer("min_share", (min_size_ratio / sizes.to(dtype)).repeat_interleave(sizes), persistent=False)
        self.register_buffer("dual_lr", torch.zeros(total, dtype=dtype), persistent=False)
        self.register_buffer("offsets", (sizes.cumsum(0) - sizes)[:, None], persistent=False)
        self.register_buffer("centers", centers)
        self.register_buffer("epoch_centers", centers.clone())
        self.register_buffer("duals", torch.zeros(total, dtype=dtype))
        self.register_buffer("counts", torch.zeros(total, dtype=torch.float64))
        self.register_buffer("epoch", torch.tensor(0))
        self.register_buffer("start_duals", torch.zeros(total, dtype=dtype))
        if max_size_ratio is not None and self.bounded_above:
            self._bound_above(max_size_ratio, sizes)
        self.register_buffer("share_sum", torch.zeros(total, dtype=torch.float64))
        self.register_buffer("batches", torch.tensor(0))
        self.register_buffer("rows", torch.tensor(0.0, dtype=torch.float64))
        self.averaging = False  # whether `epoch` is of the second stage; in Python, so that no step has to ask the device
        self.register_buffer("statistics", torch.zeros(total, dim + 1, dtype=torch.float64), persistent=False)
        self._has_rows = False  # whether `statistics` holds a batch
        self._summing: Summing | None = None
        self._given_lr, self._ratios, self._batches_per_epoch = dual_lr, (min_size_ratio, max_size_ratio), batches_per_epoch
        self.set_dual_lr()

    def _bound_above(self, max_size_ratio: float, sizes: Tensor) -> None:
        """Make room for the duals of upper bounds: state that a clustering without them does not have."""
        nothing = torch.zeros_like(self.duals)
        self.register_buffer("max_share", (max_size_ratio / sizes.to(nothing)).repeat_interleave(sizes), persistent=False)
        self.register_buffer("max_dual_lr", nothing.clone(), persistent=False)
        self.register_buffer("max_duals", nothing.clone())
        self.register_buffer("start_max_duals", nothing)

    def set_dual_lr(self, batches_per_epoch: float | None = None, divisor: float = 1.0) -> None:
        """Set the step sizes of the duals: the given one, or the defaults for so many batches (or as before), over a divisor."""
        self._batches_per_epoch = batches_per_epoch or self._batches_per_epoch
        for step, ratio in zip((self.dual_lr, getattr(self, "max_dual_lr", None)), self._ratios, strict=True):
            if step is not None and ratio is not None:
                steps = [self._given_lr or default_dual_lr(k, ratio, self._batches_per_epoch) for k in self.num_clusters]
                step.copy_(torch.tensor(steps, dtype=step.dtype).repeat_interleave(torch.tensor(self.num_clusters)) / divisor)

    def per_head(self, tensor: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
        """Views of a stacked tensor, one for each head."""
        return torch.split(tensor, list(self.num_clusters), dim=dim)

    @torch.no_grad()
    def start_from(self, centers: Tensor, prices: Tensor) -> None:
        """Take the centers (sum of K, D) and prices (sum of K,) of another clustering, before the first batch."""
        self.centers.copy_(centers)
        self.epoch_centers.copy_(centers)
        self.take_prices(prices)

    @property
    def numbers_per_row(self) -> int:
        """Numbers that labelling holds for each row: its similarities, or the center of each head that it went to."""
        return max(len(self.centers), len(self.num_clusters) * self.centers.shape[1])

    @property
    def rows_together(self) -> int:
        """Least rows that are worth a call of `assign`, beside the cost of any call."""
        return 1

    @property
    def running_centers(self) -> Tensor:
        """The centers (sum of K, D) that rows are assigned to."""
        return self.epoch_centers if self.averaging else self.centers

    @property
    def prices(self) -> Tensor:
        """What is added to each cluster's similarities (sum of K,): the dual of its lower bound less that of its upper one."""
        return self.duals - self.max_duals if self.bounded_above else self.duals

    @torch.no_grad()
    def take_prices(self, prices: Tensor) -> None:
        """Go on from signed prices (sum of K,): those above zero are duals of lower bounds, the others of upper ones.

        Without an upper bound those of each head are raised together until none is below zero, which changes no label.
        """
        prices = prices.to(self.duals)
        if self.bounded_above:
            self.max_duals.copy_((-prices).clamp(min=0.0))
            self.start_max_duals.copy_(self.max_duals)
            prices = prices.clamp(min=0.0)
        elif not self.equality:
            prices = torch.cat([head - head.min().clamp(max=0.0) for head in self.per_head(prices)])
        self.duals.copy_(prices)
        self.start_duals.copy_(prices)

    @torch.no_grad()
    def priced(self, embeddings: Tensor) -> Tensor:
        """Similarities of rows (B, D) to the running centers with their prices, (B, sum of K)."""
        centers = self.running_centers
        return priced_similarities(embeddings.to(centers.dtype), centers, self.prices, spherical=self.spherical)

    @torch.no_grad()
    def assign(self, embeddings: Tensor) -> Tensor:
        """Labels of rows (B, D) under the running centers and prices, (H, B) int64; changes nothing."""
        return torch.stack([assign(head) for head in self.per_head(self.priced(embeddings), dim=1)])

    def assign_batch(self, embeddings: Tensor) -> Tensor:
        """Labels of this worker's rows (B, D) of the batch under way, (H, B) int64; all workers call it together.

        Here a row's label depends on no other row, so they are those of `assign`.
        """
        return self.assign(embeddings)

    @torch.no_grad()
    def similarity(self, embeddings: Tensor, labels: Tensor, *, priced: bool = False) -> Tensor:
        """Similarity of rows (B, D) to the centers that `assign` gave them, (H, B); `priced` adds each center's price.

        Without `spherical` it is minus half the squared distance: less than x . c - |c|^2 / 2 by what all centers share.
        """
        centers, stacked = self.running_centers, labels + self.offsets
        similarity = closeness(embeddings.to(centers.dtype), centers[stacked], spherical=self.spherical)
        return similarity + self.prices[stacked] if priced else similarity

    @torch.no_grad()
    def collect(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Add rows (B, D) with labels (H, B) to the statistics of the batch under way; `weights` (B,) instead of 1 each."""
        add_statistics(self.statistics, embeddings, (labels + self.offsets).flatten(), weights)
        self._has_rows = True

    @torch.no_grad()
    def collected_similarity(self) -> Tensor:
        """Total similarity, over all heads, of the collected rows to the centers that they were given, () float64."""
        centers, sums, counts = self.running_centers.double(), self.statistics[:, :-1], self.statistics[:, -1]
        similarity = (sums * centers).sum()
        return similarity if self.spherical else similarity - counts @ centers.square().sum(dim=1) / 2

    def begin_update(self) -> None:
        """Start summing the collected statistics over the workers: K + K * D numbers a head, whatever B is."""
        if not self._has_rows:
            raise RuntimeError("begin_update needs a batch: call collect first")
        self._summing, self._has_rows = begin_sum(self.statistics), False

    @torch.no_grad()
    def finish_update(self, batch_weight: Tensor | float | None = None) -> None:
        """Wait for the sum and move duals and centers by it; every worker computes the same.

        Where batches differ in weight, `batch_weight` is their mean: prices then follow weight, whatever batch it falls into.
        """
        if self._summing is None:
            raise RuntimeError("finish_update needs begin_update first")
        statistics, self._summing = self._summing.wait().to(self.centers.dtype, copy=True), None
        self.statistics.zero_()
        sums, counts = statistics[:, :-1], statistics[:, -1]
        rows = counts[: self.num_clusters[0]].sum()
        whole = rows.clamp(min=torch.finfo(rows.dtype).tiny) if batch_weight is None else batch_weight
        share = counts / whole
        self.duals = ascend(self.duals, share, self.min_share * (rows / whole), self.dual_lr, equality=self.equality)
        if self.bounded_above:
            self.max_duals = ascend_above(self.max_duals, share, self.max_share * (rows / whole), self.max_dual_lr)
        self._move_centers(counts, sums)
        # In place, which spares the module's look-up of each name.
        self.counts.add_(counts)
        self.share_sum.add_(share)
        self.batches.add_(rows > 0 if batch_weight is None else 1)  # of no weight it asks no cluster for a share
        self.rows.add_(rows)

    def _move_centers(self, counts: Tensor, sums: Tensor) -> None:
        """Move the centers by a batch's counts (sum of K,) and sums of rows (sum of K, D), over all workers."""
        seen = self.counts.to(counts.dtype)
        self.centers = move(self.centers, seen, counts, sums, normalize=self.spherical and not self.averaging)

    def exchange(self) -> None:
        """Make the state the same on all workers, before it is saved: here it always is. All workers call it together."""

    def partial_fit(
        self, embeddings: Tensor, weights: Tensor | None = None, batch_weight: Tensor | float | None = None
    ) -> Tensor:
        """Assign one batch (this worker's rows of it) and learn from it, see `collect` and `finish_update`.

        Returns:
            The labels, (H, B) int64.
        """
        labels = self.assign_batch(embeddings)
        self.collect(embeddings, labels, weights)
        self.begin_update()
        self.finish_update(batch_weight)
        return labels

    @torch.no_grad()
    def end_epoch(self) -> list[EpochSummary]:
        """Snapshot the centers as C^t, start the next epoch's counts, and say what each head did."""
        summaries = self._summaries()
        if self.averaging and self.average_from is not None:
            weight = 1 / (self.epoch - self.average_from + 1)
            average = (1 - weight) * self.epoch_centers + weight * F.normalize(self.centers, dim=1)
            self.centers.copy_(F.normalize(average, dim=1))
        self.epoch_centers.copy_(self.centers)
        self.counts.zero_()
        self.start_duals.copy_(self.duals)
        if self.bounded_above:
            self.start_max_duals.copy_(self.max_duals)
        self.share_sum.zero_()
        self.batches.zero_()
        self.rows.zero_()
        self.epoch += 1
        self._follow_epoch()
        return summaries

    def _summaries(self) -> list[EpochSummary]:
        rows, batch_rows = float(self.rows), self.rows / self.batches.clamp(min=1)
        missing = self.batches * self.min_share.double() - self.share_sum
        slack = margins(self.duals - self.start_duals, self.dual_lr, missing, batch_rows)
        above, least, most = torch.full_like(slack, torch.inf), self._ratios[0] * rows, math.inf
        if self.bounded_above and self._ratios[1] is not None:
            excess, most = self.share_sum - self.batches * self.max_share.double(), self._ratios[1] * rows
            above = margins(self.max_duals - self.start_max_duals, self.max_dual_lr, excess, batch_rows)
        heads = zip(*map(self.per_head, (self.counts, slack, above)), strict=True)
        return [
            EpochSummary(counts.clone(), least / len(counts), low.min(), most / len(counts), high.min())
            for counts, low, high in heads
        ]

    def _follow_epoch(self) -> None:
        self.averaging = self.average_from is not None and int(self.epoch) >= self.average_from

    def get_extra_state(self) -> dict[str, object]:
        """Settings that must agree when a state is loaded."""
        return {"num_clusters": list(self.num_clusters)}

    def set_extra_state(self, state: dict[str, object]) -> None:
        """Check a stored state's heads against this object's and follow its epoch.

        Raises:
            ValueError: when the state was saved with other heads.
        """
        if state["num_clusters"] != list(self.num_clusters):
            raise ValueError(
                f"this state has heads of {state['num_clusters']} clusters, the configuration asks for "
                f"{list(self.num_clusters)}; resume with the same num_clusters"
            )
        self._follow_epoch()
