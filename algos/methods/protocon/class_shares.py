"""The shares of the classes that aligned guesses are to have.

Shapes: C classes. Alignment divides guesses by their mean, which draws that mean to equal shares. Where classes are unequal,
what they are divided by is weighed with their true shares - as far as these are known.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from algos.methods.protocon.config import Shares
from algos.methods.protocon.running_mean import RunningMean, equal_shares

LEAST = 1e-30  # predicted share: a row may be of such a class alone, and of nothing no alignment makes a whole


class ClassShares(nn.Module):
    """What each class's aligned guesses sum to, up to a factor that all classes have in common.

    `equal`: 1. `labels`: the labelled rows' (Berthelot et al., "ReMixMatch", ICLR 2020). `predicted`: the running mean of the
    guesses for labelled rows over all workers (Berthelot et al., "AdaMatch", ICLR 2022). `estimated`: the guesses' own mean to
    the power `power`: 0 is equal shares, 1 leaves guesses as they are.

    Args:
        num_classes: C.
        kind: which of the four.
        label_counts: labelled rows of each class, (C,); where `predicted` starts. Empty for equally many.
        power: of `estimated`.
        momentum: of the running mean of `predicted`.
    """

    given: Tensor

    def __init__(
        self, num_classes: int, kind: Shares = "equal", *, label_counts: Sequence[int] = (), power: float = 0.5,
        momentum: float = 0.999,
    ) -> None:  # fmt: skip
        super().__init__()
        self.kind, self.power = kind, power
        counts = torch.tensor(label_counts, dtype=torch.float32) if label_counts else torch.ones(num_classes)
        shares = counts / counts.sum() if label_counts else equal_shares(num_classes)
        self.register_buffer("given", shares, persistent=False)
        self.predicted = RunningMean(shares.clone(), momentum) if kind == "predicted" else None

    def of(self, mean: Tensor, labelled_mean: Tensor | None = None) -> Tensor | float:
        """Shares (C,), or 1 for equal ones.

        Args:
            mean: (C,) of the guesses, as the alignment divides by it.
            labelled_mean: (C,) of the guesses for the global batch's labelled rows; for `predicted`.
        """
        if self.kind == "labels":
            return self.given
        if self.kind == "estimated":
            return mean**self.power
        if self.predicted is None:
            return 1.0
        shares = self.predicted.value if labelled_mean is None else self.predicted.with_batch(labelled_mean)
        return shares.clamp(min=LEAST)

    def finish(self) -> None:
        """Close the global batch."""
        if self.predicted is not None:
            self.predicted.finish()
