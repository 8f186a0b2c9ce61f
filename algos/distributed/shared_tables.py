"""Tables on the host that processes of one machine have in common.

They lie in memory without a name (`memfd_create`): no file system has it, so no death leaves it behind; the machine's memory
limits it, not the size of `/dev/shm`; and it is gone with the last process that uses it.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class TableShape(NamedTuple):
    """A table before it is there; all its numbers are `fill`."""

    size: tuple[int, ...]
    dtype: torch.dtype
    fill: int = 0

    @property
    def bytes(self) -> int:
        """That it takes."""
        return torch.Size(self.size).numel() * self.dtype.itemsize

    def make(self) -> Tensor:
        """The table, in memory of this process."""
        return self.filled(torch.zeros(self.size, dtype=self.dtype))

    def filled(self, zeros: Tensor) -> Tensor:
        """Its numbers where zeros are, of which none is touched that stays."""
        return zeros.fill_(self.fill) if self.fill else zeros


def from_all(mine: Any) -> list[Any]:
    """What each worker gives, by rank."""
    given = [None] * dist.get_world_size()
    dist.all_gather_object(given, mine)
    return list(given)


def shared_tables(first: int, shapes: Mapping[str, TableShape]) -> dict[str, Tensor]:
    """Tables that worker `first` of a node makes and the others there open. All workers of the job call it together.

    Raises:
        OSError: on every worker, where one of them could not.
    """
    makes, problem = dist.get_rank() == first, ""
    made, tables = dict[str, _Anonymous](), dict[str, Tensor]()
    try:
        for name, shape in shapes.items() if makes else ():
            made[name] = _Anonymous.of(shape.bytes)
            tables[name] = shape.filled(made[name].open(shape))
    except OSError as error:
        problem = str(error)
    theirs = from_all(None if problem else made)[first]
    try:
        for name, shape in shapes.items() if theirs and not makes else ():
            tables[name] = theirs[name].open(shape)
    except OSError as error:
        problem = str(error)
    problems = from_all(problem)
    for memory in made.values():  # all have opened it by now
        os.close(memory.descriptor)
    if any(problems):
        raise OSError(next(filter(None, problems)))
    return tables


class _Anonymous(NamedTuple):
    """Memory without a name, which other processes open through the descriptor of the process that made it."""

    process: int
    descriptor: int
    mark: str

    @classmethod
    def of(cls, size: int) -> _Anonymous:
        """So many bytes of zeros.

        Raises:
            OSError: where the system has none.
        """
        if not hasattr(os, "memfd_create"):
            raise OSError("only Linux has memory without a name")
        mark = f"quorum-{uuid.uuid4().hex}"
        descriptor = os.memfd_create(mark)
        os.truncate(descriptor, size)
        return cls(os.getpid(), descriptor, mark)

    def open(self, shape: TableShape) -> Tensor:
        """The bytes as a table.

        Raises:
            OSError: where this process cannot open them.
        """
        path = f"/proc/{self.process}/fd/{self.descriptor}"
        try:
            found = os.readlink(path)
        except FileNotFoundError:
            found = ""
        if self.mark not in found:  # in another container the numbers mean nothing, or another file
            raise OSError("they run in different containers")
        if not shape.bytes:  # which no system maps
            return shape.make()
        try:
            # Not from a buffer: what torch sends other processes of that, it moves into memory that is no longer in common.
            numbers = torch.Size(shape.size).numel()
            return torch.from_file(path, shared=True, size=numbers, dtype=shape.dtype).view(shape.size)
        except RuntimeError as error:
            raise OSError(str(error).split("\n", maxsplit=1)[0]) from error
