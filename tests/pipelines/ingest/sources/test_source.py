"""What all sources share."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.datasets.encoded_image import encode_pixels, is_image, open_image
from tests.helpers.inputs.layouts import pixels


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_encoded_pixels_are_kept_without_compression(shape):
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    encoded = encode_pixels(image)
    np.testing.assert_array_equal(pixels(encoded), image)
    np.testing.assert_array_equal(np.asarray(open_image(encoded)), image)
    assert encoded.endswith(image.tobytes())


def test_an_image_of_another_hand_is_left_to_pil():
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    commented = encode_pixels(image).replace(b"P6\n", b"P6\n# by hand\n", 1)
    np.testing.assert_array_equal(np.asarray(open_image(commented)), image)
    assert open_image(commented).format == "PPM"


def test_pixels_that_are_cut_short_are_refused():
    with pytest.raises(ValueError, match="buffer is not large enough"):
        open_image(encode_pixels(np.zeros((5, 7), np.uint8))[:-1])


def test_an_image_is_known_by_its_suffix_whatever_its_case():
    assert [name for name in ("a.JPEG", "b.png", "c.txt", "d", "e.tar") if is_image(name)] == ["a.JPEG", "b.png"]
