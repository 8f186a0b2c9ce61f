"""The nodes of a job: which workers share one, tables that these have in common, and messages that reach each node once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from algos.distributed.collectives import is_distributed
from algos.distributed.shared_tables import TableShape, from_all, shared_tables


@dataclass(frozen=True)
class Rail:
    """One worker of each node, of which the senders send to all; one whose node has few workers is in several rails.

    `group` is theirs; `None` where all workers of the job are in it.
    """

    senders: tuple[int, ...]
    group: dist.ProcessGroup | None = None


@dataclass(frozen=True)
class Node:
    """The node of one worker.

    Attributes:
        ranks: of the workers that share it.
        rails: that this worker is in; none where the job has one node.
        crowded: whether a node of the job has more workers than one.
        free: bytes that every node can still give; `None` where that is not known.
        apart: why workers that are on one node share nothing, so that each counts as a node; empty where they share.
    """

    ranks: tuple[int, ...]
    rails: tuple[Rail, ...] = ()
    crowded: bool = False
    free: int | None = None
    apart: str = ""

    @classmethod
    def of_its_own(cls, free: int | None = None, apart: str = "") -> Node:
        """The node of this worker where no other has a part of it; attributes as above."""
        if not is_distributed():
            return cls((0,), free=free)
        all_ranks = tuple(range(dist.get_world_size()))
        return cls((dist.get_rank(),), (Rail(all_ranks),), free=free, apart=apart)

    @classmethod
    def meet(cls, name: str, free: int | None = None) -> Node:
        """The node of this worker. All workers of the job call it together.

        Args:
            name: of the node; workers of the same name share it.
            free: bytes that it can still give, where that is known.
        """
        if not is_distributed():
            return cls.of_its_own(free)
        told: list[tuple[str, int | None]] = from_all((name, free))
        named: dict[str, list[int]] = {}
        for rank, (node, _) in enumerate(told):
            named.setdefault(node, []).append(rank)
        nodes = list(named.values())
        crowded = len(nodes) < len(told)
        apart = _why_apart(nodes) if crowded else ""
        copies = {node: len(ranks) if apart else 1 for node, ranks in named.items()}
        least = min((size // copies[node] for node, size in told if size is not None), default=None)
        if apart or not crowded:
            return cls.of_its_own(least, apart)
        return cls(tuple(next(ranks for ranks in nodes if dist.get_rank() in ranks)), _rails(nodes), True, least)

    def tables(self, shapes: Mapping[str, TableShape], what: str) -> dict[str, Tensor]:
        """Tables on the host, one of each shape for all workers of a node. All workers of the job call it together.

        Args:
            shapes: by name.
            what: they hold, for the refusal.

        Raises:
            MemoryError: on every worker and before anything is taken, where they do not fit.
        """
        needed = sum(shape.bytes for shape in shapes.values())
        said = f"{what} takes {needed / 1e9:,.1f} GB {'for each worker' if self.apart else 'on each node'}"
        if self.free is not None and needed > self.free:
            raise MemoryError(f"{said}, and {self.free / 1e9:,.1f} GB are free there")
        if not self.crowded:
            return {name: shape.make() for name, shape in shapes.items()}
        try:
            return shared_tables(self.ranks[0], shapes)
        except OSError as error:
            raise MemoryError(f"{said}, which its workers cannot share: {error}") from error

    def from_others(self, rows: Tensor, sizes: Sequence[int]) -> Iterator[Tensor]:
        """Send this worker's 2-D `rows` to the other nodes, and yield what workers there send to this one.

        Of all rows of another node each worker of this one gets a part. All workers of the job call it together.

        Args:
            rows: of this worker.
            sizes: rows of each worker, by rank.
        """
        for rail in self.rails:
            for sender in rail.senders:
                mine = sender == dist.get_rank()
                message = rows.contiguous() if mine else rows.new_empty(sizes[sender], *rows.shape[1:])
                if sizes[sender]:
                    dist.broadcast(message, src=sender, group=rail.group)
                if not mine:
                    yield message


def _rails(nodes: Sequence[Sequence[int]]) -> tuple[Rail, ...]:
    """The rails that this worker is in: the n-th is of the n-th worker of each node, counted round where it has fewer."""
    found = list[Rail]()
    for number in range(max(map(len, nodes)) if len(nodes) > 1 else 0):
        members = [ranks[number % len(ranks)] for ranks in nodes]
        group = dist.new_group(members, backend="gloo")  # all workers make all groups
        if isinstance(group, dist.ProcessGroup):  # this one's
            found.append(Rail(tuple(ranks[number] for ranks in nodes if number < len(ranks)), group))
    return tuple(found)


def _why_apart(nodes: Sequence[Sequence[int]]) -> str:
    """Why workers of a node cannot share memory; empty where all can."""
    first = next(ranks[0] for ranks in nodes if dist.get_rank() in ranks)
    try:
        shared_tables(first, {"trial": TableShape((1,), torch.uint8)})
    except OSError as error:
        return str(error)
    return ""
