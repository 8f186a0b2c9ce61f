"""What all sources share."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.samples import encode_png, is_image
from tests.pipelines.layouts import pixels


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_encode_png_keeps_every_pixel(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(pixels(encode_png(image)), image)


def test_an_image_is_known_by_its_suffix_whatever_its_case():
    assert [name for name in ("a.JPEG", "b.png", "c.txt", "d", "e.tar") if is_image(name)] == ["a.JPEG", "b.png"]
