"""scikit-learn's digits: real scans that need no download."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from pipelines.datasets.encoded_image import encode_pixels
from pipelines.ingest.sources.source import Listing, Sample


@dataclass(frozen=True)
class DigitsSource:
    """scikit-learn's bundled digits: 1,797 scans of handwritten digits, 8 x 8 px, no download.

    Every fifth sample is the test split.
    """

    root = None  # every node has it

    def listing(self) -> Listing:
        """Samples by index."""
        _, labels = _digits()
        samples = [Sample(str(i), int(label), "test" if i % 5 == 4 else "train") for i, label in enumerate(labels)]
        return Listing(samples, [str(digit) for digit in range(10)])

    def read(self, key: str) -> bytes:
        """Pixels of one scan, its 17 grey levels stretched to 8 bits."""
        images, _ = _digits()
        return encode_pixels((images[int(key)] * (255 / 16)).round().astype(np.uint8))


@functools.lru_cache(maxsize=1)
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits  # the slowest import of all sources, and only this one needs it

    bunch = load_digits()
    return bunch.images, bunch.target
