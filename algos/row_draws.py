"""Random numbers of a network's layers that belong to the rows of a global batch, whichever worker has them.

A layer that drew from its worker's generator would drop other paths when another number of workers shares the batch, or cuts its
rows into other micro-batches. So every worker draws for all rows of the global batch, one number each, and takes its own.

Shapes: B rows of a global batch, L labelled ones beside them, R rows of a forward pass: this worker's labelled ones first, then
its others view after view.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Share:
    """A worker's consecutive rows of a global batch.

    Attributes:
        rows: their places.
        of: rows of the global batch.
    """

    rows: range
    of: int

    def part(self, number: int, parts: int) -> slice:
        """Places of a micro-batch, the `number`-th of as many as `torch.tensor_split` cuts the rows into."""
        size, more = divmod(len(self.rows), parts)
        start = self.rows.start + number * size + min(number, more)
        return slice(start, start + size + (number < more))


NOBODY = Share(range(0), 0)


class RowDraws:
    """Uniform numbers in [0, 1), one for each row of a forward pass, that do not depend on how workers share the rows.

    Args:
        share: of this worker.
        labelled: of it among the labelled rows.
        device: where numbers are drawn; those of a CPU and of a GPU differ.
    """

    def __init__(self, share: Share, labelled: Share = NOBODY, device: torch.device | None = None) -> None:
        self._share, self._labelled = share, labelled
        self._generator = torch.Generator(device or torch.device("cpu"))
        self._mine, self._mine_labelled = share.part(0, 1), labelled.part(0, 1)

    def begin(self, seed: int, number: int = 0, parts: int = 1) -> None:
        """Begin a micro-batch, the `number`-th of `parts`; all of a step have its `seed`."""
        self._generator.manual_seed(seed)
        self._mine, self._mine_labelled = self._share.part(number, parts), self._labelled.part(number, parts)

    def take(self, count: int) -> Tensor:
        """The next numbers, (R,) float32, of a forward pass of R rows.

        Raises:
            ValueError: for rows that are not the labelled ones and one or more views of the others.
        """
        labelled, rows = (each.stop - each.start for each in (self._mine_labelled, self._mine))
        views, rest = divmod(count - labelled, rows)
        if views < 1 or rest:
            raise ValueError(f"{count} rows are not {labelled} labelled ones and views of {rows} others")
        first = self._labelled.of
        size = first + views * self._share.of
        numbers = torch.rand(size, generator=self._generator, device=self._generator.device)
        return torch.cat([numbers[:first][self._mine_labelled], numbers[first:].view(views, -1)[:, self._mine].flatten()])


class RowDropPath(nn.Module):
    """timm's `DropPath`, a residual branch that is left out for some rows, with the rows' own draws.

    Source: Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth", ECCV 2016.

    Args:
        drop_prob: probability that a row leaves the branch out.
        scale_by_keep: whether the others' is divided by the probability to keep it.
        draws: of the rows.
    """

    def __init__(self, drop_prob: float, scale_by_keep: bool, draws: RowDraws) -> None:
        super().__init__()
        self.drop_prob, self.scale_by_keep, self.draws = drop_prob, scale_by_keep, draws

    def forward(self, x: Tensor) -> Tensor:
        """Branch (R, ...) with zeros for the rows that leave it out; unchanged in evaluation mode."""
        if not self.training:
            return x
        keep = 1 - self.drop_prob
        kept = (self.draws.take(len(x)) < keep).to(x).view(-1, *[1] * (x.ndim - 1))
        return x * (kept / keep if self.scale_by_keep and keep > 0 else kept)


def follow_rows(network: nn.Module, draws: RowDraws) -> None:
    """Let timm's drop paths in a network take the draws of rows, in place."""
    for name, layer in list(network.named_modules()):
        if type(layer).__name__ == "DropPath" and layer.drop_prob:  # by its name: to import timm takes seconds
            drop_prob, scale_by_keep = cast("float", layer.drop_prob), cast("bool", layer.scale_by_keep)
            network.set_submodule(name, RowDropPath(drop_prob, scale_by_keep, draws).train(layer.training))


def other_draws(network: nn.Module) -> list[str]:
    """Kinds of a network's layers, in order, that draw by other random numbers than `RowDraws`: any kind of dropout."""
    kinds = set()
    for layer in network.modules():
        kind = type(layer).__name__
        keys = ["p", "prob", "drop_prob"] if "drop" in kind.lower() and not isinstance(layer, RowDropPath) else []
        if any((getattr(layer, key, None) or 0) > 0 for key in [*keys, "drop_rate"]):
            kinds.add(kind)
    return sorted(kinds)
