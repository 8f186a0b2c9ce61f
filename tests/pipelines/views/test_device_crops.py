"""Boxes of pictures of different sizes, by two products: PIL's bilinear filter within rounding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from pipelines.views.device_crops import squares

PHOTOS = [
    Image.fromarray(photo[20 : 20 + height, 10 : 10 + width])
    for photo, (width, height) in zip(load_sample_images().images, [(500, 375), (333, 400)], strict=True)
]
TENSORS = [torch.from_numpy(np.array(photo)).permute(2, 0, 1) for photo in PHOTOS]


@pytest.mark.parametrize(
    "boxes",
    [
        pytest.param([(0, 0, 500, 375), (0, 0, 333, 400)], id="whole"),
        pytest.param([(100, 50, 150, 120), (300, 370, 333, 400)], id="enlarged, up to the edge"),
        pytest.param([(3, 7, 400, 350), (100, 100, 110, 400)], id="shrunk, and very narrow"),
        pytest.param([(10.5, 20.25, 310.5, 220.75), (0.5, 0.5, 200.5, 300.5)], id="between px"),
    ],
)
@pytest.mark.parametrize("size", [224, 24])
def test_squares_are_those_of_pil(boxes, size):
    found = squares(TENSORS, torch.tensor(boxes, dtype=torch.float32), size)
    assert found.shape == (2, 3, size, size)
    for square, photo, box in zip(found, PHOTOS, boxes, strict=True):
        wanted = np.asarray(photo.resize((size, size), Image.Resampling.BILINEAR, box=box)).astype(int)
        assert np.abs(square.permute(1, 2, 0).numpy() - wanted).max() <= 1


def test_a_constant_picture_stays_constant():
    pictures = [torch.full((3, 9, 7), 200, dtype=torch.uint8), torch.full((3, 90, 70), 3, dtype=torch.uint8)]
    found = squares(pictures, torch.tensor([[0.0, 0.0, 7.0, 9.0], [1.0, 2.0, 69.0, 88.0]]), 16)
    assert (found[0] == 200).all()
    assert (found[1] == 3).all()
