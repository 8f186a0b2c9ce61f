"""What is remembered of each instance: a label per head, and for the second stage a few weighted labels.

Shapes: N instances, H heads, B rows, S slots. Keyed by instance id (0..N-1), never by rank or position. The tables live in
host memory as a replica on every worker; nothing of size N x D is kept. What a worker observes stays on its device until
`exchange`: labels written in epoch t are first read in t + 1, so nothing has to be sent or waited for at a step.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from algos.distributed import one_worker_at_a_time

UNSEEN = -1


class InstanceMemory(nn.Module):
    """Labels per (head, instance id), int32, -1 where an instance was never seen: 4 bytes each.

    Args:
        num_instances: N, as the shards say.
        num_heads: H.
    """

    labels: Tensor

    def __init__(self, num_instances: int, num_heads: int) -> None:
        super().__init__()
        self.register_buffer("labels", torch.full((num_heads, num_instances), UNSEEN, dtype=torch.int32))
        self._observed: list[tuple[Tensor, Tensor]] = []

    def lookup(self, ids: Tensor, device: torch.device) -> Tensor:
        """Stored labels of instances `ids` (B,) int64 on the host, as (H, B) int64 on `device`."""
        return self.labels[:, ids].to(device, non_blocking=True).long()

    def observe(self, ids: Tensor, labels: Tensor) -> None:
        """Note new labels (H, B) of instances `ids`; they are readable after the next `exchange`."""
        self._observed.append((ids, labels.to(torch.int32)))

    def exchange(self) -> None:
        """Write what all workers observed since the last call into every replica. All workers call it together."""
        for ids, labels in self._drain():
            self._write(ids, labels)

    def _drain(self) -> list[tuple[Tensor, Tensor]]:
        heads = len(self.labels)
        if self._observed:
            ids = torch.cat([ids for ids, _ in self._observed]).to(torch.int32)
            mine = torch.cat([ids[:, None], torch.cat([labels for _, labels in self._observed], dim=1).T.cpu()], dim=1)
        else:
            mine = torch.empty(0, heads + 1, dtype=torch.int32)
        self._observed = []
        return [(rows[:, 0].long(), rows[:, 1:].T) for rows in one_worker_at_a_time(mine)]

    def _write(self, ids: Tensor, labels: Tensor) -> None:
        self.labels[:, ids] = labels


class AveragedInstanceMemory(InstanceMemory):
    """Adds, for CoKe's second stage, each instance's running average of its labels, in a few slots.

    From epoch `average_from` on an instance keeps up to `slots` labels with values that sum to 1. A label without a slot takes
    the one of least value, whose value is dropped and the others rescaled to sum 1; then all values are multiplied by
    1 - f and the label's own gains f = 1 / (t - average_from + 1). 8 bytes a slot and head.

    Source: CoKe, section 3.4 (variance reduction of labels and centers).
    """

    slot_labels: Tensor
    slot_values: Tensor

    def __init__(self, num_instances: int, num_heads: int, *, slots: int, average_from: int) -> None:
        super().__init__(num_instances, num_heads)
        shape = (num_heads, num_instances, slots)
        self.register_buffer("slot_labels", torch.full(shape, UNSEEN, dtype=torch.int32))
        self.register_buffer("slot_values", torch.zeros(shape))
        self.average_from = average_from
        self.epoch = 0

    def soft_targets(
        self, ids: Tensor, head: int, num_clusters: int, temperature: float, device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Distribution over K clusters for instances `ids` (B,): softmax(value / temperature) over the used slots.

        Returns (B, K) float32 and (B,) bool on `device`: whether the instance has any slot (its row is 0 otherwise).
        """
        # The slots travel, not the distributions: a thousandth of the bytes.
        labels = self.slot_labels[head, ids].to(device, non_blocking=True).long()
        values = self.slot_values[head, ids].to(device, non_blocking=True)
        used = values > 0
        weights = torch.where(used, values / temperature, -torch.inf).softmax(dim=1).nan_to_num()
        targets = values.new_zeros(len(ids), num_clusters).scatter_add_(1, labels.clamp(min=0), weights)
        return targets, used.any(dim=1)

    def _write(self, ids: Tensor, labels: Tensor) -> None:
        super()._write(ids, labels)
        if self.epoch >= self.average_from:
            self._average(ids, labels, 1 / (self.epoch - self.average_from + 1))

    def _average(self, ids: Tensor, labels: Tensor, weight: float) -> None:
        slot_labels, values = self.slot_labels[:, ids], self.slot_values[:, ids]  # (H, B, S) copies
        match = (slot_labels == labels[..., None]) & (values > 0)
        known = match.any(dim=-1, keepdim=True)
        slot = torch.where(known, match.int().argmax(dim=-1, keepdim=True), values.argmin(dim=-1, keepdim=True))
        own = torch.zeros_like(values).scatter_(-1, slot, 1.0)
        values = torch.where(known, values, values * (1 - own))
        total = values.sum(dim=-1, keepdim=True)
        values = torch.where(known, values, values / total.where(total > 0, torch.ones_like(total)))
        fresh = total == 0  # a first label enters whole, also when an instance missed the first averaged epoch
        values = torch.where(fresh, own, values * (1 - weight) + weight * own)
        self.slot_values[:, ids] = values
        self.slot_labels[:, ids] = slot_labels.scatter(-1, slot, labels[..., None])
