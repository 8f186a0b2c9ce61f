"""Labels of the epoch before beside those of the batch: what a loss learns from, and how many of them change.

Shapes: H heads, B rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algos.distributed.epoch_sums import EpochSums


class LabelChanges(EpochSums):
    """Counts, over all workers, the labels of an epoch that changed and those that could have."""

    def __init__(self) -> None:
        super().__init__(2)

    def known(self, stored: Tensor, fresh: Tensor) -> Tensor:
        """Stored labels (H, B), the batch's own `fresh` ones where an instance has none yet (-1); counts the changes."""
        has_label = stored >= 0
        self.add(torch.stack([(has_label & (stored != fresh)).sum(), has_label.sum()]))
        return torch.where(has_label, stored, fresh)

    def figures(self) -> dict[str, float]:
        """The epoch's share of changed labels, by name; the next epoch's starts at zero."""
        changed, compared = self.take().tolist()
        return {"label_change": changed / compared} if compared else {}
