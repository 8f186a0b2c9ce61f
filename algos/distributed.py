"""The few collectives that the methods need; without a process group each is the identity."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether a process group of more than one worker is up."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def begin_sum(tensor: Tensor) -> dist.Work | None:
    """Start summing `tensor` over all workers in place; `None` when there is only one."""
    return dist.all_reduce(tensor, async_op=True) if is_distributed() else None


def sum_over_workers(tensor: Tensor) -> Tensor:
    """Sum `tensor` over all workers in place and return it."""
    work = begin_sum(tensor)
    if work is not None:
        work.wait()
    return tensor


def mean_over_workers(tensor: Tensor) -> Tensor:
    """Average `tensor` over all workers in place and return it."""
    if is_distributed():
        sum_over_workers(tensor).div_(dist.get_world_size())
    return tensor


def one_worker_at_a_time(tensor: Tensor) -> Iterator[Tensor]:
    """Yield each worker's 2-D `tensor` on every worker, in rank order; row counts may differ.

    A broadcast per worker, not a gather: the peak memory is one worker's share.
    """
    if not is_distributed():
        yield tensor
        return
    rows = torch.zeros(dist.get_world_size(), dtype=torch.int64, device=tensor.device)
    rows[dist.get_rank()] = len(tensor)
    sum_over_workers(rows)
    for rank, length in enumerate(rows.tolist()):
        mine = rank == dist.get_rank()
        shared = tensor.contiguous() if mine else tensor.new_empty(length, *tensor.shape[1:])
        dist.broadcast(shared, src=rank)
        yield shared
