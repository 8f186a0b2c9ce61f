"""What leaves the object store, in one copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipelines.stream.prefetch import Columns


def joined(parts: Sequence[Columns], name: str, *, pin: bool = False) -> Tensor:
    """A column of some parts, one after another, in new memory; `pin` says whether it is page-locked."""
    arrays = [part[name] for part in parts]
    dtype = torch.from_numpy(np.empty(0, arrays[0].dtype)).dtype
    tensor = torch.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), dtype=dtype, pin_memory=pin)
    np.concatenate(arrays, out=tensor.numpy())
    return tensor
