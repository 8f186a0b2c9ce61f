"""What is remembered of each instance: a cluster per head, and whatever small columns a method adds.

Shapes: N instances, H heads, B rows, S slots. Keyed by instance id (0..N-1), never by rank or position. The tables live in
host memory as a replica on every worker; nothing of size N x D is kept. What a worker observes stays on its device until
`exchange`: what is written in epoch t is first read in t + 1, so nothing has to be sent or waited for at a step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from algos.distributed.collectives import one_worker_at_a_time

UNSEEN = -1
Rows = dict[str, Tensor]


class InstanceMemory(nn.Module):
    """Labels per (head, instance id), int32, -1 where an instance was never seen: 4 bytes each.

    Args:
        num_instances: N, as the shards say.
        num_heads: H.
        columns: further columns by name: how many values an instance has, and their type. They start at 0.
    """

    labels: Tensor

    def __init__(self, num_instances: int, num_heads: int, columns: Mapping[str, tuple[int, torch.dtype]] | None = None) -> None:
        super().__init__()
        self.register_buffer("labels", torch.full((num_heads, num_instances), UNSEEN, dtype=torch.int32))
        for name, (values, dtype) in (columns or {}).items():
            self.register_buffer(name, torch.zeros(values, num_instances, dtype=dtype))
        self._columns = ("labels", *(columns or {}))
        self._observed: list[tuple[Tensor, Rows]] = []

    @property
    def bytes_per_instance(self) -> int:
        """Host memory that one instance takes."""
        return sum(getattr(self, name)[:, :1].nbytes for name in self._columns)

    def column(self, name: str) -> Tensor:
        """A further column, (values, N)."""
        return self.get_buffer(name)

    def lookup(self, ids: Tensor, device: torch.device, name: str = "labels") -> Tensor:
        """Stored labels, or another column's values, of instances `ids` (B,) int64 on the host, as (H, B) int64 on `device`."""
        return self.get_buffer(name)[:, ids].to(device, non_blocking=True).long()

    def observe(self, ids: Tensor, **columns: Tensor) -> None:
        """Note new values (values, B) of every column for instances `ids`; they are readable after the next `exchange`."""
        if columns.keys() != set(self._columns):
            raise TypeError(f"observe needs the columns {', '.join(self._columns)}, got {', '.join(columns)}")
        self._observed.append((ids, {name: values.to(getattr(self, name).dtype) for name, values in columns.items()}))

    def exchange(self) -> None:
        """Write what all workers observed since the last call into every replica. All workers call it together."""
        for ids, rows in self._drain():
            self._write(ids, rows)

    def _drain(self) -> Iterator[tuple[Tensor, Rows]]:
        observed, self._observed = self._observed, []
        ids = torch.cat([ids for ids, _ in observed] or [torch.empty(0, dtype=torch.int64)])
        parts = [ids.to(torch.int64)[:, None]]
        for name in self._columns:
            table: Tensor = getattr(self, name)
            parts.append(torch.cat([rows[name] for _, rows in observed] or [table[:, :0]], dim=1).cpu().T)
        # As bytes all columns are one message, and types that the backend does not know can travel too.
        widths = [part.shape[1] * part.element_size() for part in parts]
        packed = torch.cat([_own(part).view(torch.uint8) for part in parts], dim=1)
        for rows in one_worker_at_a_time(packed):
            columns = rows.split(widths, dim=1)
            unpacked = [_own(column).view(part.dtype) for column, part in zip(columns, parts, strict=True)]
            yield unpacked[0][:, 0], {name: part.T for name, part in zip(self._columns, unpacked[1:], strict=True)}

    def _write(self, ids: Tensor, rows: Rows) -> None:
        for name, values in rows.items():
            getattr(self, name)[:, ids] = values


def smallest_integer(values: int) -> torch.dtype:
    """Narrowest signed integer type that counts `values` classes."""
    return next(kind for kind in (torch.int8, torch.int16, torch.int32) if values <= torch.iinfo(kind).max + 1)


def _own(rows: Tensor) -> Tensor:
    """A copy with storage and strides of its own, as a view as another type needs; `contiguous` may return a slice."""
    return rows.clone(memory_format=torch.contiguous_format)


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

    def _write(self, ids: Tensor, rows: Rows) -> None:
        super()._write(ids, rows)
        if self.epoch >= self.average_from:
            self._average(ids, rows["labels"], 1 / (self.epoch - self.average_from + 1))

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
