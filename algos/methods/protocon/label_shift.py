"""Labelled rows whose classes are drawn otherwise than those of all images.

Shapes: B rows, C classes. Ten labels of each class say nothing of which class is common: a classifier of such rows takes a common
class for rare. What it says of the images without a label tells their shares, by expectation maximisation (Saerens, Latinne and
Decaestecker, Neural Computation 14, 2002); and where the loss adds log(labelled share / that share) to labelled rows' logits,
they teach the classifier that share (Menon et al., "Long-tail learning via logit adjustment", ICLR 2021: there to equal shares).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from algos.distributed.epoch_sums import EpochSums
from algos.methods.protocon.running_mean import equal_shares

LEAST = 0.05  # of an equal share: a class that nothing was taken for can come back


class LabelShift(nn.Module):
    """Shares of the classes among the images without a label, which follow the guesses epoch by epoch [pi].

    Equal in the first epoch, then the guesses' mean over the epoch before to the power `power`, normalised.

    Args:
        num_classes: C.
        label_counts: labelled rows of each class, (C,), as often as they are drawn; empty for equally many.
        power: of the guesses' mean; 1 is maximum likelihood, less holds to equal shares.
    """

    shares: Tensor
    labelled_shares: Tensor

    def __init__(self, num_classes: int, label_counts: Sequence[int] = (), power: float = 1.0) -> None:
        super().__init__()
        self.power, self.sums = power, EpochSums(num_classes)
        counts = torch.tensor(label_counts or [1] * num_classes, dtype=torch.float32)
        self.register_buffer("labelled_shares", counts / counts.sum(), persistent=False)
        self.register_buffer("shares", equal_shares(num_classes))

    def of_labelled(self, logits: Tensor) -> Tensor:
        """Logits (B, C) of labelled rows as their loss takes them; a class without a label keeps its own."""
        ratio = self.labelled_shares / self.shares
        return logits + torch.where(ratio > 0, ratio, 1.0).log()

    def collect(self, guesses: Tensor) -> None:
        """Add rows' guesses (B, C)."""
        self.sums.add(guesses.sum(dim=0))

    def exchange(self) -> None:
        """Add what all workers collected since the last call. All workers call it together."""
        self.sums.exchange()

    def end_epoch(self) -> None:
        """Move to the shares of this epoch's guesses; an epoch without any keeps them."""
        sums = self.sums.take()
        total = sums.sum()
        shares = (sums / total.clamp(min=1)).clamp(min=LEAST / len(sums)) ** self.power
        self.shares = torch.where(total > 0, shares / shares.sum(), self.shares).to(self.shares.dtype)
