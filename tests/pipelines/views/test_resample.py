"""A box becomes a square by PIL's bilinear filter, whoever computes it."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps
from sklearn.datasets import load_sample_images

from benchmarks.images.former_crops import former_crops
from pipelines.datasets.encoded_image import open_image
from pipelines.views import resample as module
from pipelines.views.crops import CropSpec, center_crop, random_crops
from pipelines.views.resample import resample
from pipelines.views.shown_picture import ORIENTATION, Showing

CHINA = Image.fromarray(load_sample_images().images[0])
shares = st.floats(0, 1, allow_nan=False)


def squared(picture: Image.Image, box: tuple[float, float, float, float], size: int, channels: int = 3) -> np.ndarray:
    out = np.full((size, size, channels), 77, np.uint8)
    resample(picture, box, out)
    return out


@given(x=st.tuples(shares, shares), y=st.tuples(shares, shares), size=st.sampled_from([1, 8, 37, 96, 224]))
@example(x=(0.29286890399708204, 0.1840694749760701), y=(0.29286890399708204, 0.3417635232997745), size=96)  # 2 from PIL's bytes
def test_any_box_is_what_pils_filter_gives_without_rounding_within_one_level(x, y, size):
    left, right = sorted(x)
    top, low = sorted(y)
    box = (left * 630, top * 417, left * 630 + max((right - left) * 630, 1), top * 417 + max((low - top) * 417, 1))
    bands = [band.convert("F").resize((size, size), Image.Resampling.BILINEAR, box=box) for band in CHINA.split()]
    unrounded, bytes_of_pil = np.dstack(bands), np.asarray(CHINA.resize((size, size), Image.Resampling.BILINEAR, box=box))
    given, most = squared(CHINA, box, size), 1.01  # half a level at each of two passes, and what their weights are cut off
    assert np.abs(given - unrounded).max() <= most
    assert np.abs(bytes_of_pil - unrounded).max() <= most
    assert (np.abs(given.astype(int) - bytes_of_pil) > 1).sum() <= 1  # the passes come in another order


@pytest.mark.parametrize("width", [3, 7, 49, 333, 640])
def test_a_box_that_ends_at_the_edge_by_floats_is_taken(width):
    picture = CHINA.resize((width, width))
    for parts in range(1, 50):
        edge = sum([width / parts] * parts)  # not quite the width, to either side
        assert squared(picture, (0.1 * width, 0.3 * width, edge, edge), 5).shape == (5, 5, 3)


def test_a_grey_picture_fills_one_channel_or_three_alike():
    grey = CHINA.convert("L")
    one, three = squared(grey, (0, 0, 300, 300), 64, 1), squared(grey, (0, 0, 300, 300), 64)
    np.testing.assert_array_equal(np.broadcast_to(one, three.shape), three)


def test_threads_do_not_write_to_one_canvas():
    boxes = [(x, x, x + 200, x + 200) for x in range(8)]
    expected = [squared(CHINA, box, 64) for box in boxes]
    wrong = []

    def often(index: int) -> None:
        wrong.extend(index for _ in range(200) if not np.array_equal(squared(CHINA, boxes[index], 64), expected[index]))

    threads = [threading.Thread(target=often, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_without_the_quick_filter_pils_takes_its_place(monkeypatch):
    quick = squared(CHINA, (10, 20, 400, 300), 96)
    monkeypatch.setattr(module, "cykooz_resizer", None)
    slow = squared(CHINA, (10, 20, 400, 300), 96)
    assert np.abs(quick.astype(int) - slow).max() <= 1


def photo(width: int, height: int) -> Image.Image:
    return CHINA.resize((width, height))


def noise(width: int, height: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def text(width: int, height: int) -> Image.Image:
    page = Image.new("RGB", (width, height), "white")
    pen, colours = ImageDraw.Draw(page), np.random.default_rng(0)
    for line in range(0, height, 16):
        pen.text((3, line), "Every cluster keeps its quorum, 0123456789. " * 40, fill=tuple(colours.integers(0, 160, 3).tolist()))
    return page


@pytest.mark.parametrize("picture", [photo, noise, text])
@pytest.mark.parametrize("size", [(340, 256), (500, 375), (1000, 750), (1600, 1200)])
def test_crops_of_a_jpeg_are_close_to_pils_of_all_its_pixels(picture, size):
    buffer = io.BytesIO()
    picture(*size).save(buffer, "JPEG", quality=90)
    image = buffer.getvalue()
    whole = Image.open(io.BytesIO(image))
    side = min(size)
    box = ((size[0] - side) / 2, 0, (size[0] + side) / 2, side)
    expected = np.asarray(whole.resize((224, 224), Image.Resampling.BILINEAR, box=box)).astype(int)
    far = np.abs(center_crop(image, 224, 224) - expected)
    assert far.mean() <= 2
    assert np.percentile(far, 99) <= 8


@pytest.mark.parametrize("version", [1, 2])
def test_runs_of_before_keep_pils_bits(version):
    buffer = io.BytesIO()
    CHINA.resize((900, 600)).save(buffer, "JPEG")
    image, showing = buffer.getvalue(), Showing(version=version)
    picture = open_image(image)
    picture.draft("RGB", (64, 64))
    x, y = picture.width / 900, picture.height / 600
    whole = np.full((1, 10, 4), 0.5)
    (crop,) = random_crops(image, [CropSpec(64, (1.0, 1.0), pad=1)], whole, showing)
    expected = np.asarray(picture.resize((64, 64), Image.Resampling.BILINEAR, box=(150 * x, 0, 750 * x, 600 * y)))
    np.testing.assert_array_equal(crop, expected)


@pytest.mark.parametrize(("size", "side"), [(32, 769), (64, 1537), (96, 2305), (224, 1345)])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_coarse_decode_of_any_size_and_turn_lies_where_the_whole_one_does(size, side, orientation):
    turned = Image.Exif()
    turned[ORIENTATION] = orientation
    buffer = io.BytesIO()
    CHINA.resize((side, side - 2), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=95, exif=turned)
    whole = ImageOps.exif_transpose(Image.open(io.BytesIO(buffer.getvalue())))
    shorter = min(whole.size)
    left, top = (whole.width - shorter) / 2, (whole.height - shorter) / 2
    box = (left, top, left + shorter, top + shorter)
    expected = np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR, box=box)).astype(int)
    far = np.abs(center_crop(buffer.getvalue(), size, size) - expected)
    assert far.mean() <= 1
    assert np.percentile(far, 99) <= 4


def test_random_crops_of_before_keep_their_bits_whatever_their_size():
    random = np.random.default_rng(0)
    for width, height in random.integers(60, 420, (60, 2)).tolist():
        buffer = io.BytesIO()
        CHINA.resize((width, height)).save(buffer, "JPEG")
        uniform = random.random((2, 10, 4), dtype=np.float32)
        found = random_crops(buffer.getvalue(), [CropSpec(64, (0.3, 1.0))] * 2, uniform, Showing(version=2))
        for mine, theirs in zip(found, former_crops(buffer.getvalue(), [64, 64], (0.3, 1.0), uniform), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_decode_is_coarser_only_where_twice_the_pixels_are_spare_as_before():
    buffer = io.BytesIO()
    CHINA.resize((240, 212)).save(buffer, "JPEG")  # 127 px of a crop for 64: just below two
    uniform = np.full((1, 10, 4), 0.5, np.float32)
    uniform[0, :, 0] = (127 / 212) ** 2 * 212 / 240
    (mine,) = random_crops(buffer.getvalue(), [CropSpec(64, (1e-6, 1.0))], uniform, Showing(version=2))
    (theirs,) = former_crops(buffer.getvalue(), [64], (1e-6, 1.0), uniform)
    np.testing.assert_array_equal(mine, theirs)
