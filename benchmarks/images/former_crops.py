"""The crops of version 2 of a run's pixels, by PIL alone: frozen, as what the present ones are measured against."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pipelines.datasets.encoded_image import OPENED
from pipelines.views.crops import random_box


def former_crops(image: bytes, sizes: list[int], scale: tuple[float, float], uniform: np.ndarray) -> list[np.ndarray]:
    """Random crops (S, S, 3) of an upright RGB image without transparency."""
    picture = Image.open(io.BytesIO(image), formats=OPENED)
    width, height = picture.size
    boxes = [random_box(draws.tolist(), width, height, scale) for draws in uniform]
    spare = min(min(right - left, low - top) / size for size, (left, top, right, low) in zip(sizes, boxes, strict=True))
    if spare >= 2 and picture.format == "JPEG":
        picture.draft("RGB", (int(width / spare), int(height / spare)))
    x, y = picture.width / width, picture.height / height
    return [
        np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, box=(left * x, top * y, right * x, low * y)))
        for size, (left, top, right, low) in zip(sizes, boxes, strict=True)
    ]
