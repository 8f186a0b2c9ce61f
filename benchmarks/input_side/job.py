"""What every side is told: the photos, and how they are to be cut, batched and shared among processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

Epoch = Callable[[int], Iterator[int]]  # rows of each batch of an epoch


@dataclass(frozen=True)
class Job:
    """One measurement of one side.

    Attributes:
        work: folder of the photos, and of the forms that the sides make of them.
        images: how many.
        size: of the crops in px.
        views: of an image.
        batch_size: rows of a batch.
        lanes: of Quorum's stream.
        window: of Quorum's stream, in rows.
        processes: that decode.
        epochs: that are measured after the first.
    """

    work: Path
    images: int = 4000
    size: int = 224
    views: int = 1
    batch_size: int = 256
    lanes: int = 8
    window: int = 256
    processes: int = 2
    epochs: int = 3
