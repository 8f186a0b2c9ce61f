"""What a source of images is: it lists its samples cheaply and reads each as encoded bytes.

A source is a small picklable object; `ingest` lists it once on the driver and reads it in parallel in tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipelines.datasets.encoded_image import IMAGE_SUFFIXES
from pipelines.errors import UserError


@dataclass(frozen=True)
class Sample:
    """One image of a source: a key that the source reads it by, its label (`None` unknown) and its split."""

    key: str
    label: int | None
    split: str


@dataclass(frozen=True)
class Listing:
    """All samples of a source in a stable order, and the names of its classes."""

    samples: list[Sample]
    classes: list[str]


class Source(Protocol):
    """What `ingest` needs of a source."""

    def listing(self) -> Listing:
        """Every sample, in an order that depends on the source's content only."""

    def read(self, key: str) -> bytes:
        """Encoded image of one sample."""


def require_samples(samples: list[Sample], root: Path) -> list[Sample]:
    """The samples, of which there must be one.

    Raises:
        UserError: when there is none.
    """
    if not samples:
        raise UserError(f"{root} holds no image files ({', '.join(sorted(IMAGE_SUFFIXES)[:6])}, ...)")
    return samples
