"""Online k-means whose rows are shared out equally among the clusters, batch by batch: SwAV's assignment in the clustering core.

Shapes: B rows of a batch over all workers, D embedding size, K clusters of one head, H heads, Q batches in the queue. A row's
label is the largest entry of its row of the balanced plan. Centers move by their rows as in `OnlineConstrainedKMeans`, which has
the other way to balance: a price a cluster that is learned over the whole epoch, where the plan's hold for one batch only.

Source: Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster Assignments" (SwAV), NeurIPS 2020,
section 3.1; the queue is its paragraph on small batches.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from algos.balanced.plan_settings import EPSILON, ITERATIONS, LEAST_EPSILON
from algos.balanced.sinkhorn import balancing_prices
from algos.distributed.collectives import one_worker_at_a_time, share_of_worker
from algos.kmeans.constrained_kmeans import OnlineConstrainedKMeans
from algos.kmeans.step_arithmetic import assign


class SinkhornKMeans(OnlineConstrainedKMeans):
    """The clustering core with SwAV's assignment; see the module.

    Where a batch has hardly more rows than there are clusters, equal shares of it say little. The embeddings of the last batches
    then take part in the plan, as soon as there are `queued_batches` of them; they are compared with today's centers and get no
    label. Each worker keeps its own rows of them.

    Rows outside a batch (`assign`) go to their nearest center: a plan balances the rows that it was made for and no others.
    With gradient accumulation each micro-batch is balanced for itself, together with the queue.

    Args:
        num_clusters: K of each head.
        dim: D.
        epsilon: weight of the plan's entropy.
        iterations: of Sinkhorn.
        batch_size: B.
        queued_batches: Q; 0 for no queue.
        options: further ones of `OnlineConstrainedKMeans`, except for its bounds.

    Raises:
        ValueError: for impossible settings, each named in the message.
    """

    queue: Tensor
    queued: Tensor

    def __init__(
        self, num_clusters: list[int], dim: int, *, epsilon: float = EPSILON,
        iterations: int = ITERATIONS, batch_size: int = 0, queued_batches: int = 0, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(num_clusters, dim, min_size_ratio=0.0, **options)
        if not self.spherical or self.bounded_above:
            raise ValueError("SinkhornKMeans is for unit vectors, and has no bounds: leave spherical and max_size_ratio alone")
        if epsilon < LEAST_EPSILON or iterations < 1:
            raise ValueError(f"epsilon is {epsilon} and iterations {iterations}; give at least {LEAST_EPSILON} and at least 1")
        self.epsilon, self.iterations = epsilon, iterations
        self._queued_batches = queued_batches
        if queued_batches:
            self.register_buffer("queue", torch.zeros(queued_batches, batch_size, dim, dtype=self.centers.dtype))
            self.register_buffer("queued", torch.tensor(0))
        self._held: deque[Tensor] = deque(maxlen=queued_batches)  # this worker's rows of the last batches, newest first
        self._collected: list[Tensor] = []  # of the batch under way

    @torch.no_grad()
    def assign_batch(self, embeddings: Tensor) -> Tensor:
        """Labels of this worker's rows (B, D) of the batch under way, balanced over all workers' rows and the queue, (H, B)."""
        full = self._queued_batches and len(self._held) == self._queued_batches
        rows = torch.cat([embeddings, *self._held]) if full else embeddings
        heads = self.per_head(self.priced(rows), dim=1)
        prices = balancing_prices(heads, epsilon=self.epsilon, iterations=self.iterations)
        own = [head[: len(embeddings)].double() + price for head, price in zip(heads, prices, strict=True)]
        return torch.stack([assign(head) for head in own])

    @torch.no_grad()
    def collect(self, embeddings: Tensor, labels: Tensor, weights: Tensor | None = None) -> None:
        """Add rows (B, D) with labels (H, B) to the statistics of the batch under way, and to the queue.

        Raises:
            ValueError: for `weights`: a plan counts every row once.
        """
        if weights is not None:
            raise ValueError("a balanced assignment counts every row once; give no weights")
        super().collect(embeddings, labels)
        if self._queued_batches:
            self._collected.append(embeddings.to(self.centers.dtype))

    def finish_update(self, batch_weight: Tensor | float | None = None) -> None:
        """Move the centers by the sum over workers; the batch's rows enter the queue, and the oldest leave it."""
        super().finish_update(batch_weight)
        if self._collected:
            self._held.appendleft(torch.cat(self._collected))
            self._collected = []

    @torch.no_grad()
    def exchange(self) -> None:
        """Bring all workers' rows of the queue together, so that one of them can save it. All workers call it together."""
        if not self._held:
            return
        batches, dim = len(self._held), self.centers.shape[1]
        mine = torch.stack(list(self._held), dim=1).flatten(1)
        rows = torch.cat(list(one_worker_at_a_time(mine)))
        self.queue[:batches] = rows.view(-1, batches, dim).transpose(0, 1)
        self.queued.fill_(batches)

    def set_extra_state(self, state: dict[str, object]) -> None:
        """Check a stored state's heads against this object's, follow its epoch, and take this worker's share of its queue.

        Raises:
            ValueError: when the state was saved with other heads.
        """
        super().set_extra_state(state)
        self._held.clear()
        if self._queued_batches:
            self._held.extend(share_of_worker(self.queue[: int(self.queued)].clone(), dim=1))
