"""The few collectives that the methods need; without a process group each is the identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

HOST = torch.device("cpu")


def is_distributed() -> bool:
    """Whether a process group of more than one worker is up."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@dataclass
class Summing:
    """A tensor on its way through the sum over all workers; `work` is `None` where there is only one."""

    tensor: Tensor
    work: dist.Work | None

    def wait(self) -> Tensor:
        """The tensor, once it is the sum."""
        if self.work is not None:
            self.work.wait()
        return self.tensor


def begin_sum(tensor: Tensor) -> Summing:
    """Start summing `tensor` over all workers in place."""
    return Summing(tensor, dist.all_reduce(tensor, async_op=True) if is_distributed() else None)


def sum_over_workers(tensor: Tensor) -> Tensor:
    """Sum `tensor` over all workers in place and return it."""
    return begin_sum(tensor).wait()


def mean_over_workers(tensor: Tensor) -> Tensor:
    """Average `tensor` over all workers in place and return it."""
    if is_distributed():
        sum_over_workers(tensor).div_(dist.get_world_size())
    return tensor


def share_of_worker(tensor: Tensor, dim: int) -> Tensor:
    """This worker's part, along a dimension, of a tensor that every worker has the whole of; sizes differ by 1 at most."""
    return tensor.tensor_split(dist.get_world_size(), dim=dim)[dist.get_rank()] if is_distributed() else tensor


def counts_of_workers(count: int, device: torch.device = HOST) -> list[int]:
    """The number that each worker gives, by rank, sent from a device; none returns before all have called it."""
    if not is_distributed():
        return [count]
    counts = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=device)
    counts[dist.get_rank()] = count
    return [int(number) for number in sum_over_workers(counts).tolist()]


def one_worker_at_a_time(tensor: Tensor) -> Iterator[Tensor]:
    """Yield each worker's 2-D `tensor` on every worker, in rank order; row counts may differ.

    A broadcast per worker, not a gather: the peak memory is one worker's share.
    """
    if not is_distributed():
        yield tensor
        return
    for rank, length in enumerate(counts_of_workers(len(tensor), tensor.device)):
        mine = rank == dist.get_rank()
        shared = tensor.contiguous() if mine else tensor.new_empty(length, *tensor.shape[1:])
        dist.broadcast(shared, src=rank)
        yield shared
