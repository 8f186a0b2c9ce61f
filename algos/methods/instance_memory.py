"""What is remembered of each instance: a cluster per head, and whatever small columns a method adds.

Shapes: N instances, H heads, B rows, S slots. Keyed by instance id (0..N-1), never by rank or position. The tables live in
host memory, once on each node; nothing of size N x D is kept. What a worker observes stays on its device until `exchange`: what
is written in epoch t is first read in t + 1, so nothing has to be sent or waited for at a step.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from algos.distributed.collectives import counts_of_workers
from algos.distributed.nodes import Node
from algos.distributed.shared_tables import TableShape

UNSEEN = -1
JOINED_STEPS = 256  # whose observations are made one: a tensor a step and column would take more than what is in them
PART_ROWS = 1 << 20  # that a worker sends at once
Rows = dict[str, Tensor]


class InstanceMemory(nn.Module):
    """Labels per (head, instance id), int32, -1 where an instance was never seen: 4 bytes each.

    All workers of a job make theirs together.

    Args:
        num_instances: N, as the shards say.
        num_heads: H.
        columns: further columns by name: how many values an instance has, and their type. They start at 0.
        derived: further tables, which follow from the columns that are exchanged.
        node: of this worker, whose workers have the tables in common; `None` for a node of its own.

    Raises:
        MemoryError: where the tables do not fit the node.
    """

    labels: Tensor

    def __init__(
        self, num_instances: int, num_heads: int, columns: Mapping[str, tuple[int, torch.dtype]] | None = None, *,
        derived: Mapping[str, TableShape] | None = None, node: Node | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.node = node or Node.of_its_own()
        shapes = {"labels": TableShape((num_heads, num_instances), torch.int32, UNSEEN)}
        shapes |= {name: TableShape((values, num_instances), dtype) for name, (values, dtype) in (columns or {}).items()}
        self._columns = tuple(shapes)
        what = f"what is remembered of {num_instances:,} images"
        for name, table in self.node.tables(shapes | dict(derived or {}), what).items():
            self.register_buffer(name, table)
        self._observed: list[tuple[Tensor, Rows]] = []
        self._joined = 0  # of these, each of so many steps; the others are of one

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
        if len(self._observed) == self._joined + JOINED_STEPS:
            self._observed[self._joined :] = [self._join(self._observed[self._joined :])]
            self._joined += 1

    def _join(self, observed: list[tuple[Tensor, Rows]]) -> tuple[Tensor, Rows]:
        ids = torch.cat([ids for ids, _ in observed] or [torch.empty(0, dtype=torch.int64)]).to(torch.int64)
        tables = {name: self.get_buffer(name) for name in self._columns}
        return ids, {
            name: torch.cat([rows[name] for _, rows in observed] or [table[:, :0]], dim=1) for name, table in tables.items()
        }

    def exchange(self) -> None:
        """Write what all workers observed since the last call into the tables of every node. All workers call it together."""
        rows_left = True
        while rows_left:
            ids, rows = self._next_part()
            sizes = counts_of_workers(len(ids))  # no worker reads any more; in the last round, all have written
            rows_left = any(sizes)
            self._write(ids, rows)
            for theirs in self.node.from_others(self._packed(ids, rows), sizes):
                self._write(*self._unpacked(theirs))

    def _next_part(self) -> tuple[Tensor, Rows]:
        """Take about `PART_ROWS` of what was observed, on the host."""
        count, size = 0, 0
        while count < len(self._observed) and size < PART_ROWS:
            size += len(self._observed[count][0])
            count += 1
        part, self._observed = self._observed[:count], self._observed[count:]
        self._joined = max(self._joined - count, 0)
        ids, rows = self._join(part)
        return ids, {name: values.cpu() for name, values in rows.items()}

    def _packed(self, ids: Tensor, rows: Rows) -> Tensor:
        """As bytes all columns are one message, and types that the backend does not know can travel too."""
        return torch.cat([_own(column.T).view(torch.uint8) for column in (ids[None], *rows.values())], dim=1)

    def _unpacked(self, packed: Tensor) -> tuple[Tensor, Rows]:
        tables = {name: self.get_buffer(name) for name in self._columns}
        widths = [8, *(len(table) * table.element_size() for table in tables.values())]
        ids, *columns = packed.split(widths, dim=1)
        rows = {name: _own(column).view(tables[name].dtype).T for name, column in zip(self._columns, columns, strict=True)}
        return _own(ids).view(torch.int64)[:, 0], rows

    def _write(self, ids: Tensor, rows: Rows) -> None:
        for name, values in rows.items():
            self.get_buffer(name).index_copy_(1, ids, values)


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

    def __init__(self, num_instances: int, num_heads: int, *, slots: int, average_from: int, node: Node | None = None) -> None:
        size = (num_heads, num_instances, slots)
        slots_of = {"slot_labels": TableShape(size, torch.int32, UNSEEN), "slot_values": TableShape(size, torch.float32)}
        super().__init__(num_instances, num_heads, derived=slots_of, node=node)
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
