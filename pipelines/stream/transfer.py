"""The way of a batch: out of the object store in one copy, and to the device beside the work there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from pipelines.stream.prefetch import Columns

Host = TypeVar("Host")
Item = TypeVar("Item")


def joined(parts: Sequence[Columns], name: str, *, pin: bool = False) -> Tensor:
    """A column of some parts, one after another, in new memory; `pin` says whether it is page-locked."""
    arrays = [part[name] for part in parts]
    dtype = torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype
    tensor = torch.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=dtype, pin_memory=pin)
    np.concatenate(arrays, out=tensor.numpy())
    return tensor


def on_device(
    batches: Iterable[tuple[int, Host]], move: Callable[[int, Host], Item], device: torch.device
) -> Iterator[tuple[int, Item]]:
    """Each step with what `move` makes of its batch; for a GPU one step ahead, on a stream beside the one that is current."""
    if device.type != "cuda":
        for step, host in batches:
            yield step, move(step, host)
        return
    beside, current = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    ready: tuple[int, Item, torch.cuda.Event] | None = None
    for step, host in batches:
        # The memory of a batch that was used goes to the next: only when all that was queued on it is done.
        beside.wait_stream(current)
        with torch.cuda.stream(beside):
            following = step, move(step, host), beside.record_event()
        if ready is not None:
            current.wait_event(ready[2])
            yield ready[:2]
        ready = following
    if ready is not None:
        current.wait_event(ready[2])
        yield ready[:2]
