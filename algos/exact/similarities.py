"""Similarities of all rows and clusters, asked for in pieces, and the best of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

# Similarities (rows asked for, clusters asked for) on the CPU, given indices of rows and of clusters.
Similarities = Callable[[Tensor, Tensor], Tensor]

SIMILARITIES_HELD = 1 << 22  # similarities held at once: 32 MiB of float64
GROUPED = 8  # clusters of a group, of which the best stands for all in a first choice


def pieces(rows: Tensor, num_clusters: int) -> Iterator[Tensor]:
    """Row indices in pieces whose similarities fit into `SIMILARITIES_HELD`."""
    yield from rows.split(max(SIMILARITIES_HELD // num_clusters, 1)) if len(rows) else ()


def in_less_precision(similarities: Callable[..., Tensor], dtype: torch.dtype) -> Similarities | None:
    """The same in the data's dtype, where a search that needs no more saves time by it; `None` for float64."""
    return None if dtype == torch.float64 else partial(similarities, dtype=dtype)


def best_clusters(priced: Tensor, count: int) -> Tensor:
    """Indices (b, count) of each row's best clusters, the best first, by priced similarities (b, K).

    Of many clusters, those of the groups whose best are the best: `topk` over all takes twice the time.
    """
    num_clusters = priced.shape[1]
    width = -(-num_clusters // GROUPED)  # group g is clusters g, g + width, and so on
    if width < 4 * count:
        return priced.topk(count, dim=1).indices
    lacking = width * GROUPED - num_clusters
    padded = F.pad(priced, (0, lacking), value=-torch.inf) if lacking else priced
    groups = padded.view(-1, GROUPED, width).amax(dim=1).topk(count, dim=1, sorted=False).indices
    members = (groups[:, None] + width * torch.arange(GROUPED)[:, None]).flatten(1)
    return members.gather(1, padded.gather(1, members).topk(count, dim=1).indices)
