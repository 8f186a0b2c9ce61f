"""The quick decoder gives PIL's pixels; what it does not know, PIL decodes."""

from __future__ import annotations

import io

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from sklearn.datasets import load_sample_images

from pipelines.datasets.encoded_image import open_image
from pipelines.views.decode import coarseness, decode

CHINA = Image.fromarray(load_sample_images().images[0])
ALL = (1e9, 1e9)  # px that the crops need


def jpeg(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", **{"quality": 90} | options)
    return buffer.getvalue()


def by_pil(image: bytes, by: int = 1) -> np.ndarray:
    picture = Image.open(io.BytesIO(image))
    if by > 1:
        picture.draft(picture.mode, (picture.width // by, picture.height // by))
    return np.asarray(picture)


def decoded(image: bytes, least: tuple[float, float] = ALL) -> np.ndarray:
    picture = open_image(image)
    pixels = np.asarray(decode(picture, image, coarseness(picture, least)))
    return pixels[..., :3] if pixels.ndim == 3 else pixels


VARIANTS = {
    "baseline": {}, "progressive": {"progressive": True}, "best": {"quality": 100}, "worst": {"quality": 3},
    "4:4:4": {"subsampling": 0}, "4:2:2": {"subsampling": 1}, "optimised": {"optimize": True},
    "restarts": {"restart_marker_rows": 2},
}  # fmt: skip


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("size", [(500, 375), (33, 17), (1, 1), (8, 250)])
def test_a_jpeg_has_the_bits_of_pil(variant, size):
    image = jpeg(CHINA.resize(size), **VARIANTS[variant])
    np.testing.assert_array_equal(decoded(image), by_pil(image))


def test_a_grey_jpeg_stays_grey():
    image = jpeg(CHINA.convert("L"))
    assert decoded(image).ndim == 2
    np.testing.assert_array_equal(decoded(image), by_pil(image))


@pytest.mark.parametrize(("least", "by"), [(60, 1), (58, 2), (29, 4), (14, 8), (1, 8)])
@pytest.mark.parametrize("size", [(355, 353), (360, 352)])
def test_a_large_jpeg_is_decoded_to_three_pixels_for_one_that_is_shown_and_as_pil_would(least, by, size):
    image = jpeg(CHINA.resize(size))
    np.testing.assert_array_equal(decoded(image, (least, least)), by_pil(image, by))


def test_a_cmyk_jpeg_is_left_to_pil():
    image = jpeg(CHINA.convert("CMYK"))
    from pipelines.views.shown_picture import Showing

    np.testing.assert_array_equal(np.asarray(Showing().show(open_image(image))), by_pil_rgb(image))


def by_pil_rgb(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB"))


def test_a_jpeg_that_is_cut_short_is_refused_as_by_pil():
    image = jpeg(CHINA)[:9000]
    with pytest.raises(OSError, match="truncated"):
        decode(open_image(image), image)


def test_what_only_the_quick_codec_finds_fault_with_is_decoded_by_pil():
    whole = jpeg(CHINA.resize((64, 64)))
    image = whole[:-2] + b"\x00" * 40 + whole[-2:]  # bytes before the end marker
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(image)
    np.testing.assert_array_equal(decoded(image), by_pil(image))


@pytest.mark.parametrize("form", ["PNG", "WEBP", "BMP", "GIF"])
def test_other_formats_are_left_to_pil(form):
    buffer = io.BytesIO()
    CHINA.resize((40, 30)).save(buffer, form)
    picture = open_image(buffer.getvalue())
    assert decode(picture, buffer.getvalue()) is picture
