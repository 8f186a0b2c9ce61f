"""Crops: where they may lie, how they are distributed, and that the fast paths show what the slow one does."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import ks_2samp
from sklearn.datasets import load_sample_images
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as TF

from pipelines.config.sections import StreamConfig
from pipelines.views import coarse_picture
from pipelines.views.crops import ATTEMPTS, PIXEL_VERSION, CropSpec, center_crop, random_box, random_crops, thumbnail
from pipelines.views.decode import FORMER_PIXELS, decode
from pipelines.views.shown_picture import Showing

CHINA = Image.fromarray(load_sample_images().images[0])  # 640 x 427 px


def encode(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def draws(crops: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((crops, ATTEMPTS, 4), dtype=np.float32)


def boxes(width: int, height: int, scale: tuple[float, float], count: int) -> np.ndarray:
    return np.array([random_box(uniform, width, height, scale) for uniform in draws(count).tolist()])


@settings(max_examples=300, deadline=None)
@given(
    width=st.integers(1, 3000),
    height=st.integers(1, 3000),
    low=st.floats(0.001, 1.0),
    high=st.floats(0.001, 1.0),
    seed=st.integers(0, 2**32),
)
def test_a_box_lies_inside_any_image(width, height, low, high, seed):
    scale = (min(low, high), max(low, high))
    left, top, right, bottom = random_box(draws(1, seed)[0].tolist(), width, height, scale)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height


@pytest.mark.parametrize("extreme", [0.0, np.nextafter(np.float32(1), np.float32(0))])
def test_a_box_lies_inside_at_the_ends_of_the_draws(extreme):
    left, top, right, bottom = random_box(np.full((ATTEMPTS, 4), extreme, np.float32).tolist(), 500, 375, (0.08, 0.5))
    assert 0 <= left < right <= 500
    assert 0 <= top < bottom <= 375


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.2, 0.3)])
def test_area_and_ratio_keep_to_their_ranges(scale):
    left, top, right, bottom = boxes(600, 500, scale, 1000).T
    w, h = right - left, bottom - top
    area = w * h / (600 * 500)
    assert scale[0] - 0.005 < area.min() < scale[0] + 0.02
    assert scale[1] - 0.02 < area.max() < scale[1] + 0.005
    assert 0.74 < (w / h).min() < 0.77
    assert 1.3 < (w / h).max() < 1.35


def test_boxes_are_distributed_as_torchvisions():
    scale, count = (0.2, 1.0), 4000
    torch.manual_seed(0)
    image = torch.empty(1, 90, 120)
    theirs = np.array([RandomResizedCrop.get_params(image, scale, (3 / 4, 4 / 3)) for _ in range(count)])
    top, left, h, w = theirs.T
    mine_left, mine_top, right, bottom = boxes(120, 90, scale, count).T
    mine_w, mine_h = right - mine_left, bottom - mine_top
    for mine, other in ((mine_w * mine_h, w * h), (mine_w / mine_h, w / h), (mine_left, left), (mine_top, top)):
        assert ks_2samp(mine, other).pvalue > 0.001


@pytest.mark.parametrize(("width", "height", "box"), [(400, 100, (133, 0, 266, 100)), (100, 400, (0, 133, 100, 266))])
def test_an_image_that_no_attempt_fits_gives_its_largest_central_box(width, height, box):
    assert random_box(draws(1)[0].tolist(), width, height, (1.0, 1.0)) == box


def test_a_crop_is_the_resized_box():
    uniform = draws(1, seed=4)
    box = random_box(uniform[0].tolist(), *CHINA.size, (0.1, 0.5))
    (crop,) = random_crops(encode(CHINA), [CropSpec(32, (0.1, 0.5))], uniform)
    expected = CHINA.resize((32, 32), Image.Resampling.BILINEAR, box=box)
    assert np.abs(crop.astype(int) - np.asarray(expected)).max() <= 1


def test_crops_of_one_image_follow_their_own_draws_and_sizes():
    crops, uniform = [CropSpec(32, (0.3, 1.0)), CropSpec(16, (0.05, 0.3)), CropSpec(32, (0.3, 1.0))], draws(3)
    first, small, second = random_crops(encode(CHINA), crops, uniform)
    assert (first.shape, small.shape) == ((32, 32, 3), (16, 16, 3))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(random_crops(encode(CHINA), crops[1:2], uniform[1:2])[0], small)


@pytest.mark.parametrize("grey", [False, True])
def test_the_draft_of_a_large_jpeg_shows_what_the_full_decode_shows(grey):
    picture = CHINA.convert("L") if grey else CHINA
    jpeg = encode(picture.resize((1283, 855)), "JPEG", quality=95)
    full = encode(Image.open(io.BytesIO(jpeg)))
    crops, uniform = [CropSpec(64, (0.3, 1.0)), CropSpec(48, (0.2, 0.6))], draws(2)
    for drafted, exact in zip(random_crops(jpeg, crops, uniform), random_crops(full, crops, uniform), strict=True):
        assert drafted.shape == exact.shape
        assert 0 < np.abs(drafted.astype(int) - exact).mean() < 4


def test_a_draft_keeps_the_edges_of_an_odd_sized_jpeg():
    for width in range(257, 290):
        crops = random_crops(encode(Image.new("RGB", (width, 199)), "JPEG"), [CropSpec(8, (1.0, 1.0))], draws(1))
        assert crops[0].shape == (8, 8, 3)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_grey_image_stays_grey_and_equals_its_colour_copy(form):
    grey = Image.open(io.BytesIO(encode(CHINA.convert("L"), form)))
    spec, uniform = [CropSpec(300, (0.5, 1.0))], draws(1)
    one, three = (random_crops(encode(picture), spec, uniform)[0] for picture in (grey, grey.convert("RGB")))
    assert one.shape == (300, 300, 1)
    np.testing.assert_array_equal(np.broadcast_to(one, three.shape), three)
    assert center_crop(encode(grey, form), 32, 40).shape == (32, 32, 1)


@pytest.mark.parametrize(("mode", "form"), [("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("1", "PNG"), ("CMYK", "JPEG")])
def test_other_modes_show_what_their_three_channels_show(mode, form):
    picture = CHINA.resize((64, 48)).convert(mode)
    expected = Image.open(io.BytesIO(encode(picture, form))).convert("RGB")
    spec, uniform = [CropSpec(24, (0.5, 1.0))], draws(1)
    (crop,) = random_crops(encode(picture, form), spec, uniform)
    three = random_crops(encode(expected), spec, uniform)[0]
    np.testing.assert_array_equal(np.broadcast_to(crop, three.shape), three)


def test_a_16_bit_grey_image_keeps_its_shades():
    eight = np.asarray(CHINA.convert("L").resize((40, 40)))
    sixteen = Image.fromarray(eight.astype(np.uint16) * 257)
    crop = center_crop(encode(sixteen), 40, 40)
    expected = center_crop(encode(Image.fromarray(eight)), 40, 40)
    assert np.abs(crop.astype(int) - expected).max() <= 1


def test_the_center_crop_is_torchvisions_resize_and_center_crop():
    crop = center_crop(encode(CHINA), 96, 110)
    expected = np.asarray(TF.center_crop(TF.resize(CHINA, 110), [96, 96]))
    assert crop.shape == (96, 96, 3)
    assert np.abs(crop.astype(int) - expected).mean() < 2


def test_the_center_crop_of_a_large_jpeg_is_close_to_that_of_its_full_decode():
    jpeg = encode(CHINA.resize((1280, 854)), "JPEG", quality=95)
    drafted, exact = center_crop(jpeg, 56, 64), center_crop(encode(Image.open(io.BytesIO(jpeg))), 56, 64)
    assert 0 < np.abs(drafted.astype(int) - exact).mean() < 3


def test_the_center_crop_takes_the_middle():
    stripes = np.zeros((30, 90, 3), np.uint8)
    stripes[:, 30:60] = 200
    assert (center_crop(encode(Image.fromarray(stripes)), 30, 30) == 200).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_tiny_and_extreme_images_are_cropped(size):
    image = encode(CHINA.resize(size))
    assert random_crops(image, [CropSpec(16, (0.08, 1.0))], draws(1))[0].shape == (16, 16, 3)
    assert center_crop(image, 16, 18).shape == (16, 16, 3)


def test_the_largest_ratio_is_four_thirds_either_way():
    w, h = (b - a for a, b in zip((0, 0), random_box([[1.0, 1 - 1e-9, 0, 0]], 10_000, 10_000, (0.25, 0.25))[2:], strict=True))
    assert math.isclose(w / h, 4 / 3, rel_tol=1e-3)


def test_a_padded_view_moves_the_whole_image_and_mirrors_its_border():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    spec, uniform = [CropSpec(8, (1.0, 1.0), pad=2)], np.zeros((1, ATTEMPTS, 4), np.float32)
    uniform[0, 0, 2:] = [0.5, 0.99]  # of 5 places: the middle in height, the far right in width
    (view,) = random_crops(encode(Image.fromarray(image)), spec, uniform)
    np.testing.assert_array_equal(view[..., 0], np.concatenate([image[:, 2:], image[:, [6, 5]]], axis=1))


@pytest.mark.parametrize("seed", range(5))
def test_a_padded_view_is_torchvisions_crop_of_the_padded_image(seed):
    uniform = np.random.default_rng(seed).random((1, ATTEMPTS, 4), dtype=np.float32)
    square = CHINA.resize((32, 32))
    (view,) = random_crops(encode(square), [CropSpec(32, (1.0, 1.0), pad=4)], uniform)
    top, left = (int(draw * 9) for draw in uniform[0, 0, 2:])
    padded = TF.pad(square, [4], padding_mode="reflect")
    np.testing.assert_array_equal(view, np.asarray(TF.crop(padded, top, left, 32, 32)))


def test_the_version_of_pixels_is_one_everywhere():
    assert Showing().version == StreamConfig().pixels == int(PIXEL_VERSION) == FORMER_PIXELS + 1


@pytest.mark.parametrize(
    ("size", "smaller"), [((1600, 1067), (96, 64)), ((1067, 1600), (64, 96)), ((900, 3), (96, 1)), ((50, 40), (50, 40))]
)
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_thumbnail_is_the_whole_picture_upright_and_never_enlarged(size, smaller, form):
    picture, exif = CHINA.resize(size), Image.Exif()
    exif[274] = 6
    lying = encode(picture.transpose(Image.Transpose.ROTATE_90), form, exif=exif)
    made = thumbnail(lying, 96)
    assert (made.size, made.mode) == (smaller, "RGB")
    expected = np.asarray(picture.resize(smaller, Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(np.asarray(made).astype(int) - expected).mean() < 8  # of JPEG; turned otherwise it is 50


def test_of_a_large_photograph_a_thumbnail_decodes_a_part(monkeypatch):
    divisors = []
    monkeypatch.setattr(coarse_picture, "decode", lambda picture, image, by: divisors.append(by) or decode(picture, image, by))
    assert thumbnail(encode(CHINA.resize((1600, 1067)), "JPEG"), 56).mode == "RGB"
    assert divisors == [8]
