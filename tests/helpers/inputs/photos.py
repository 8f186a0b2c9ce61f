"""Parts of photographs."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_sample_images

SIZE = 48


def photos(count: int) -> torch.Tensor:
    """(count, 3, SIZE, SIZE) uint8 parts of two photographs, in the memory layout of the stream."""
    pictures = load_sample_images().images
    corners = np.random.default_rng(0).integers(0, 370, (count, 2))
    parts = [pictures[i % 2][y : y + SIZE, x : x + SIZE] for i, (y, x) in enumerate(corners)]
    return torch.from_numpy(np.stack(parts)).permute(0, 3, 1, 2)
